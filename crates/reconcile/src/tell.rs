//! Events: what a pass did, what a condition became, and why a pass failed. Each is told once.

use kube::Resource;
use kube::runtime::events::{Event as KubeEvent, EventType};
use serde_json::Value;

use crate::cache::{Entry, Key};
use crate::controller::Controller;
use crate::driver::{Driver, Failure};
use crate::effect::{Event, Plan, Tell};
use crate::status;

impl<C: Controller> Driver<C> {
    pub(crate) async fn publish(
        &self,
        object: &C::Kind,
        plan: &Plan<C::Status, C::Own>,
        changed: bool,
        failed: bool,
        live: &Value,
    ) {
        let now = |type_| plan.conditions.iter().find(|condition| condition.type_ == type_);
        for event in &plan.said.events {
            let told = match event.tell {
                Tell::Acted => changed && !failed,
                Tell::ConditionChanged(type_) => {
                    !changed && now(type_).is_some_and(|now| status::condition_changed(now, live))
                }
                Tell::MessageChanged(type_) => {
                    !changed && now(type_).is_some_and(|now| status::message_changed(now, live))
                }
            };
            if told {
                self.send(object, plan.said.step, event).await;
            }
        }
    }

    /// Somebody had edited or deleted what is ours, and it is as wanted again.
    pub(crate) async fn tell_restored(&self, entry: &Entry<C::Kind>, restored: Vec<String>) {
        if restored.is_empty() {
            return;
        }
        let note = format!("edited or deleted by somebody else, and restored: {}", restored.join(", "));
        let event = Event { warning: false, reason: "Restored".into(), note, tell: Tell::Acted };
        self.send(&entry.fact, "Restore", &event).await;
    }

    /// A failure is told once per cause, not once per try: in the words of its condition if it has one.
    pub(crate) async fn tell_failure(&self, key: &Key, entry: &Entry<C::Kind>, failure: &Failure) {
        let (reason, words) = match &failure.explained {
            Some(condition) => (condition.reason.clone(), condition.message.clone()),
            None => ("ReconcileFailed".to_owned(), format!("{:#}", failure.error)),
        };
        let news = self.remember(key, |memory| memory.told.replace(words.clone()).as_ref() != Some(&words));
        if news {
            let event = Event { warning: true, reason, note: words, tell: Tell::Acted };
            self.send(&entry.fact, "Reconcile", &event).await;
        }
    }

    async fn send(&self, object: &C::Kind, action: &str, event: &Event) {
        /// What the API server takes.
        const MOST_BYTES: usize = 1024;
        let mut note = event.note.clone();
        if note.len() > MOST_BYTES {
            let cut = (0..=MOST_BYTES - 3).rev().find(|at| note.is_char_boundary(*at)).unwrap_or(0);
            note.truncate(cut);
            note.push_str("...");
        }
        let event = KubeEvent {
            type_: if event.warning { EventType::Warning } else { EventType::Normal },
            reason: event.reason.clone(),
            note: Some(note),
            action: action.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.context.recorder().publish(&event, &object.object_ref(&())).await {
            tracing::warn!(reason = event.reason, %error, "cannot publish an event");
        }
    }
}
