//! A user who never stops writing.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Api, ListParams, PostParams};

use super::{Day, child};

/// A client of a child that writes every 100 ms and remembers what was acknowledged.
pub struct Writer {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
    longest_gap_millis: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Writer {
    pub async fn start(day: &Day, name: &str) -> Result<Self> {
        let client = child(day, name).await?;
        let writer = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(Mutex::new(BTreeSet::new())),
            Arc::new(AtomicU64::new(0)),
        );
        let (stop, acknowledged, gap) = writer.clone();
        let task = tokio::spawn(async move {
            let api: Api<ConfigMap> = Api::namespaced(client, "default");
            let mut last = Instant::now();
            for number in 0_u64.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let name = format!("write-{number}");
                let object = ConfigMap {
                    metadata: kube::core::ObjectMeta { name: Some(name.clone()), ..Default::default() },
                    ..Default::default()
                };
                let sent =
                    tokio::time::timeout(Duration::from_secs(2), api.create(&PostParams::default(), &object))
                        .await;
                if matches!(sent, Ok(Ok(_))) {
                    let millis = u64::try_from(last.elapsed().as_millis()).unwrap_or(u64::MAX);
                    gap.fetch_max(millis, Ordering::Relaxed);
                    last = Instant::now();
                    acknowledged.lock().unwrap().insert(name);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Ok(Self { stop: writer.0, acknowledged: writer.1, longest_gap_millis: writer.2, task })
    }

    /// Seconds of the longest time between two acknowledged writes since this was asked last.
    pub fn longest_gap(&self) -> f64 {
        Duration::from_millis(self.longest_gap_millis.swap(0, Ordering::Relaxed)).as_secs_f64()
    }

    /// Stops and checks that every acknowledged write is there: their number and the longest gap.
    pub async fn stop(self, day: &Day, name: &str) -> Result<(usize, f64)> {
        self.stop.store(true, Ordering::Relaxed);
        let gap = self.longest_gap();
        self.task.await.context("the writer")?;
        let api: Api<ConfigMap> = Api::namespaced(child(day, name).await?, "default");
        let there: BTreeSet<String> =
            api.list(&ListParams::default()).await?.iter().map(ResourceExt::name_any).collect();
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        let lost: Vec<_> = acknowledged.difference(&there).collect();
        ensure!(
            lost.is_empty(),
            "{} acknowledged writes are lost: {:?}",
            lost.len(),
            &lost[..lost.len().min(5)]
        );
        ensure!(!acknowledged.is_empty(), "nothing was written");
        Ok((acknowledged.len(), gap))
    }
}
