//! Which pod template a StatefulSet gets: a new one, or the one that it has (hosted.md H-18, H-28, H-51).
//!
//! A template is made anew only when a person changed something that reaches the pods, or when the endpoint moved.
//! A release of ours that would build it otherwise never restarts a pod.

use std::collections::BTreeMap;

use serde_json::Value;

use super::facts::{Seen, SetFact};
use super::objects::config::digest;

/// Annotation: digest of the user's wishes that the template was made from.
pub const INPUTS: &str = "k0smotron.io/template-inputs";
/// Annotation: the version of how templates are built.
pub const LAYOUT: &str = "k0smotron.io/template-layout";
/// Annotation: digest of the certificates of the authorities that the pods trust.
pub const AUTHORITIES: &str = "k0smotron.io/authorities";
/// Annotation: digest of what was found out about the endpoint when the template was made.
pub const ENDPOINT: &str = "k0smotron.io/template-endpoint";
/// Annotation: digest of the template as it was built, by which another release knows that it would build another.
pub const RENDERED: &str = "k0smotron.io/template-rendered";
/// Annotation: what k0s cannot change later, as it was when the control plane was made (5.2).
pub const NETWORK: &str = "k0smotron.io/network";
/// The version of how we build templates.
const OUR_LAYOUT: &str = "1";

/// A pod template and the annotations that say what it was made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// The template.
    pub body: Value,
    /// Annotations of the StatefulSet.
    pub annotations: BTreeMap<String, String>,
    /// It differs from the one that the StatefulSet has.
    pub is_new: bool,
}

/// What a template would be made from now.
#[derive(Clone, Debug, PartialEq)]
pub struct Making {
    /// Digest of the user's wishes.
    pub inputs: String,
    /// Digest of the endpoint.
    pub endpoint: String,
    /// Digest of the authorities' certificates.
    pub authorities: String,
    /// The network of the control plane; etcd has none.
    pub network: Option<String>,
    /// The template.
    pub body: Value,
    /// Why no new template may be made; the one that runs stays.
    pub held: bool,
}

/// The template to use; `None`: there is none yet and none may be made.
pub fn choose(live: Option<&Seen<SetFact>>, making: Making) -> Option<Template> {
    let Making { inputs, endpoint, authorities, network, body, held } = making;
    let rendered = digest(&body);
    let written = [
        (INPUTS, Some(&*inputs)),
        (LAYOUT, Some(OUR_LAYOUT)),
        (AUTHORITIES, Some(&*authorities)),
        (ENDPOINT, Some(&*endpoint)),
        (RENDERED, Some(&*rendered)),
        (NETWORK, network.as_deref()),
    ];
    let annotations: BTreeMap<_, _> =
        written.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned()))).collect();
    let is = |live: &Seen<SetFact>, key: &str, value: &str| live.annotation(key) == Some(value);
    if let Some(live) = live {
        let same = is(live, INPUTS, &inputs) && is(live, ENDPOINT, &endpoint);
        if held || (same && !is(live, RENDERED, &rendered)) {
            return Some(Template {
                body: live.fact.template(),
                annotations: live.annotations.clone(),
                is_new: false,
            });
        }
        return Some(Template { body, annotations, is_new: !same });
    }
    (!held).then_some(Template { body, annotations, is_new: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn making(inputs: &str, endpoint: &str, body: &Value) -> Making {
        Making {
            inputs: inputs.into(),
            endpoint: endpoint.into(),
            authorities: "a".into(),
            network: None,
            body: body.clone(),
            held: false,
        }
    }

    fn live(template: &Template) -> Seen<SetFact> {
        let fact = SetFact { template: template.body.to_string(), ..SetFact::default() };
        Seen { annotations: template.annotations.clone(), fact, ..Seen::default() }
    }

    /// H-28.
    #[test]
    fn a_release_that_builds_templates_otherwise_keeps_the_one_that_runs() {
        let first = choose(None, making("i", "e", &json!({"probe": 1}))).unwrap();
        let kept = choose(Some(&live(&first)), making("i", "e", &json!({"probe": 2}))).unwrap();
        assert_eq!(
            (kept.body, kept.annotations, kept.is_new),
            (json!({"probe": 1}), first.annotations, false)
        );
    }

    /// H-51, H-38.
    #[test]
    fn a_real_change_or_a_moved_endpoint_makes_a_new_template() {
        let first = choose(None, making("i", "e", &json!({"probe": 1}))).unwrap();
        for (inputs, endpoint) in [("j", "e"), ("i", "f")] {
            let new = choose(Some(&live(&first)), making(inputs, endpoint, &json!({"probe": 2}))).unwrap();
            assert!(new.is_new && new.body == json!({"probe": 2}));
        }
    }

    /// H-9.
    #[test]
    fn while_templates_are_held_back_the_running_one_stays_and_none_is_made() {
        let first = choose(None, making("i", "e", &json!({"probe": 1}))).unwrap();
        let held = Making { held: true, ..making("j", "f", &json!({"probe": 2})) };
        assert_eq!(choose(Some(&live(&first)), held.clone()).unwrap().body, json!({"probe": 1}));
        assert_eq!(choose(None, held), None);
    }
}
