//! Leadership: one lease per mode; who loses it ends the process at once (packaging-and-api 2.5, P-7, P-32).
//!
//! A candidate watches the lease, so it leads within moments of a release, and otherwise asks nothing. Every write
//! is guarded by the version that was read. The decisions are in [`rules`].

mod rules;

use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cache::error_chain;
use crate::clock;
use crate::context::Context;
use crate::fence::Fence;
use crate::writer::code;
use rules::{Candidate, Step};

/// An answer that takes longer is as good as none: the next try needs its time before the deadline.
const REQUESTS_PER_DEADLINE: u32 = 3;
/// A process that ends gives the lease back if the API server answers in this time; else it runs out by itself.
const RELEASE: Duration = Duration::from_secs(2);

/// Times and names of the lease.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// Name of the Lease.
    pub name: String,
    /// Namespace of the Lease.
    pub namespace: String,
    /// Who we are; unique among the replicas.
    pub identity: String,
    /// How long the lease holds after its last renewal.
    pub duration: Duration,
    /// How long renewing is tried before leadership counts as lost.
    pub renew_deadline: Duration,
    /// How long to wait after a try that failed.
    pub retry_period: Duration,
}

/// How far a process has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// The lease was not read yet.
    Unknown,
    /// Another process leads.
    By,
    Leads,
}

/// A process that leads or stands by.
#[derive(Debug)]
pub struct Election {
    standing: watch::Receiver<Standing>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Election {
    /// Stands for the lease. `lost` is called once this process no longer leads; from then on `fence` lets no write
    /// pass.
    pub fn stand(
        context: &Context,
        options: LeaseOptions,
        fence: Fence,
        lost: impl FnOnce() + Send + 'static,
    ) -> Self {
        let (told, standing) = watch::channel(Standing::Unknown);
        let stop = CancellationToken::new();
        context.metrics().leading(&options.name, false);
        let api = Api::namespaced(context.client().clone(), &options.namespace);
        let elector = Elector { context: context.clone(), api, options, fence, told, stop: stop.clone() };
        let task = tokio::spawn(async move {
            if elector.run().await {
                lost();
            }
        });
        Self { standing, stop, task }
    }

    /// Waits until the lease was read: this process leads, or could.
    pub async fn stands_by(&self) {
        // An error means that the election ended, and then the process ends.
        let _ = self.standing.clone().wait_for(|standing| *standing >= Standing::By).await;
    }

    /// Waits until this process leads.
    pub async fn won(&self) {
        let _ = self.standing.clone().wait_for(|standing| *standing == Standing::Leads).await;
    }

    /// Stands no longer, and gives the lease back if it is held, so that the next process leads at once.
    pub async fn end(self) {
        self.stop.cancel();
        if tokio::time::timeout(RELEASE, self.task).await.is_err() {
            tracing::warn!("the lease could not be given back in {RELEASE:?}; it runs out by itself");
        }
    }
}

struct Elector {
    context: Context,
    api: Api<Lease>,
    options: LeaseOptions,
    fence: Fence,
    told: watch::Sender<Standing>,
    stop: CancellationToken,
}

impl Elector {
    /// Until the end is wished (`false`) or leadership is lost (`true`).
    async fn run(self) -> bool {
        let Some(mut candidate) = self.first_look().await else { return false };
        self.told.send_replace(Standing::By);
        let mut events = self.events();
        let mut listed = None;
        while !self.stop.is_cancelled() {
            match candidate.step(clock::instant()) {
                Step::Write => self.write(&mut candidate).await,
                Step::Lost(why) => {
                    self.fence.close();
                    self.context.metrics().leading(&self.options.name, false);
                    tracing::error!(lease = self.options.name, why, "leadership is lost");
                    return true;
                }
                Step::WaitUntil(at) => tokio::select! {
                    () = self.stop.cancelled() => {}
                    () = clock::sleep(at.saturating_duration_since(clock::instant())) => {}
                    Some(event) = events.next() => saw(&mut candidate, &mut listed, event),
                },
            }
        }
        if candidate.leads() {
            self.fence.close();
            self.give_up(&mut candidate).await;
        }
        false
    }

    async fn first_look(&self) -> Option<Candidate> {
        loop {
            match self.read().await {
                Ok(lease) => return Some(Candidate::new(self.options.clone(), lease, clock::instant())),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "cannot read the lease yet"),
            }
            self.stop.run_until_cancelled(clock::sleep(self.options.retry_period)).await?;
        }
    }

    async fn write(&self, candidate: &mut Candidate) {
        let began = clock::instant();
        let wanted = candidate.wanted(MicroTime(clock::now()));
        match self.send(&wanted).await {
            Ok(Some(lease)) => {
                let before = candidate.leads();
                candidate.wrote(lease, began, clock::instant());
                self.fence.until(candidate.deadline());
                if !before {
                    self.context.metrics().leading(&self.options.name, true);
                    tracing::info!(lease = self.options.name, namespace = self.options.namespace, "leading");
                    self.told.send_replace(Standing::Leads);
                }
            }
            Ok(None) => self.look_again(candidate).await,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "cannot write the lease");
                candidate.failed(clock::instant());
            }
        }
    }

    /// Somebody else wrote it since we read it.
    async fn look_again(&self, candidate: &mut Candidate) {
        match self.read().await {
            Ok(lease) => candidate.saw(lease, clock::instant()),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "cannot read the lease");
                candidate.failed(clock::instant());
            }
        }
    }

    async fn give_up(&self, candidate: &mut Candidate) {
        while let Some(given) = candidate.given_up(MicroTime(clock::now())) {
            match self.send(&given).await {
                Ok(Some(_)) => {
                    self.context.metrics().leading(&self.options.name, false);
                    tracing::info!(lease = self.options.name, "gave the lease back");
                    return;
                }
                Ok(None) => self.look_again(candidate).await,
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "cannot give the lease back");
                    return;
                }
            }
        }
    }

    /// Creates it, or replaces the version that was read; `None` if that is not the current one.
    async fn send(&self, lease: &Lease) -> anyhow::Result<Option<Lease>> {
        let how = PostParams { field_manager: Some(crate::FIELD_MANAGER.into()), ..PostParams::default() };
        let sent = async {
            match lease.metadata.resource_version {
                None => self.api.create(&how, lease).await,
                Some(_) => self.api.replace(&self.options.name, &how, lease).await,
            }
        };
        match self.in_time(sent).await? {
            Ok(written) => Ok(Some(written)),
            Err(error) if matches!(code(&error), Some(404 | 409)) && !no_namespace(&error) => Ok(None),
            Err(error) => Err(error).with_context(|| self.what()),
        }
    }

    async fn read(&self) -> anyhow::Result<Option<Lease>> {
        self.in_time(self.api.get_opt(&self.options.name)).await?.with_context(|| self.what())
    }

    async fn in_time<T>(&self, answer: impl Future<Output = T>) -> anyhow::Result<T> {
        let patience = self.options.renew_deadline / REQUESTS_PER_DEADLINE;
        let late = || format!("{}: no answer in {patience:?}", self.what());
        tokio::time::timeout(patience, answer).await.with_context(late)
    }

    fn what(&self) -> String {
        format!("lease {}/{}", self.options.namespace, self.options.name)
    }

    fn events(&self) -> BoxStream<'static, watcher::Result<watcher::Event<Lease>>> {
        let this_one = watcher::Config::default().fields(&format!("metadata.name={}", self.options.name));
        watcher(self.api.clone(), this_one).default_backoff().boxed()
    }
}

/// One event of the watch; `listed` is what a fresh list named so far.
fn saw(candidate: &mut Candidate, listed: &mut Option<Lease>, event: watcher::Result<watcher::Event<Lease>>) {
    let now = clock::instant();
    match event {
        Ok(watcher::Event::Init) => *listed = None,
        Ok(watcher::Event::InitApply(lease)) => *listed = Some(lease),
        Ok(watcher::Event::InitDone) => candidate.saw(listed.take(), now),
        Ok(watcher::Event::Apply(lease)) => candidate.saw(Some(lease), now),
        Ok(watcher::Event::Delete(_)) => candidate.saw(None, now),
        Err(error) => tracing::warn!(error = error_chain(&error), "the watch on the lease failed, retrying"),
    }
}

/// A lease can be created in an existing namespace only; asking again at once would not help.
fn no_namespace(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.message.starts_with("namespaces "))
}
