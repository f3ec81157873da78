//! What is no longer wanted goes, in its time (H-8).

use jiff::SignedDuration;

use super::world::{after, effects, running, serving, with_spec};
use crate::cluster::facts::{Seen, ServiceFact};
use crate::cluster::plan::{FORMER_SERVICE, plan};

/// H-8, H-38: workers and users have ten minutes to learn of the new address.
#[test]
fn the_service_of_a_former_type_goes_ten_minutes_after_the_new_one_came() {
    let spec =
        |type_: &str| format!("version: v1.36.3+k0s.2\nstorage: {{type: kine}}\nservice: {{type: {type_}}}");
    let mut seen = serving(&spec("ClusterIP"));
    seen.spec = with_spec(&spec("LoadBalancer")).spec;
    let fact = ServiceFact { balancer: Some("192.0.2.7".to_owned()), ..seen.services[0].fact.clone() };
    let balancer =
        Seen { name: "kmc-one-lb".to_owned(), uid: "uid-of-lb".to_owned(), fact, ..seen.services[0].clone() };
    seen.services.push(balancer);
    for _ in 0..3 {
        let next = plan(&seen);
        seen = running(after(seen, &next));
    }
    let deleted = |later: SignedDuration| {
        let mut seen = seen.clone();
        seen.now = seen.now.checked_add(later).unwrap();
        let all = effects(&plan(&seen));
        all.into_iter().filter(|effect| effect.starts_with("delete Service")).collect::<Vec<_>>()
    };
    let moment = SignedDuration::from_secs(1);
    assert_eq!(deleted(FORMER_SERVICE - moment), Vec::<String>::new());
    assert_eq!(deleted(FORMER_SERVICE), ["delete Service kmc-one"]);

    // Nobody serves at the new address yet: the former one is all there is.
    seen.pods[0].fact.ready_since = None;
    let mut late = seen.clone();
    late.now = late.now.checked_add(FORMER_SERVICE).unwrap();
    assert!(effects(&plan(&late)).iter().all(|effect| !effect.starts_with("delete Service")));
}
