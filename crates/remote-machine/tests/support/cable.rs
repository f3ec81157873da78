//! A cable that can be unplugged: forwards a port of the loopback address to another.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What goes through.
pub struct Cable {
    pub port: u16,
    plugged: watch::Sender<bool>,
    sent: Arc<AtomicU64>,
}

impl Cable {
    /// A cable to this port.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let here = listener.local_addr().unwrap().port();
        let (plugged, seen) = watch::channel(true);
        let sent = Arc::new(AtomicU64::new(0));
        let counter = sent.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (mut seen, counter) = (seen.clone(), counter.clone());
                if !*seen.borrow_and_update() {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
                    let ((mut near_in, mut near_out), (mut far_in, mut far_out)) =
                        (near.into_split(), far.into_split());
                    let there = async {
                        let mut buffer = [0; 4096];
                        while let Ok(n @ 1..) = near_in.read(&mut buffer).await {
                            counter.fetch_add(n as u64, Ordering::Relaxed);
                            if far_out.write_all(&buffer[..n]).await.is_err() {
                                break;
                            }
                        }
                    };
                    let back = tokio::io::copy(&mut far_in, &mut near_out);
                    tokio::select! {
                        () = there => {}
                        _ = back => {}
                        _ = seen.wait_for(|plugged| !*plugged) => {}
                    }
                });
            }
        });
        Self { port: here, plugged, sent }
    }

    pub fn unplug(&self) {
        self.plugged.send_replace(false);
    }

    pub fn plug(&self) {
        self.plugged.send_replace(true);
    }

    /// Bytes that went to the host.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}
