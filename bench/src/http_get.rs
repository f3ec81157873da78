//! One plain GET on this machine: health and metrics of the manager.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The manager answers within milliseconds, or is not there.
const PATIENCE: Duration = Duration::from_secs(5);

/// The body of a 200 answer of `127.0.0.1:port`.
pub async fn get(port: u16, path: &str) -> Result<String> {
    let answer = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        anyhow::Ok(text)
    };
    let text =
        tokio::time::timeout(PATIENCE, answer).await.with_context(|| format!("GET {path}: no answer"))??;
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("GET {path}: no HTTP answer"))?;
    let status = head.lines().next().unwrap_or_default();
    if !status.contains(" 200 ") {
        bail!("GET {path}: {status}");
    }
    Ok(body.to_owned())
}
