//! Faults do to a client what they say, and what they let through is real.

use std::time::Duration;

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Event, ObjectReference};
use kube::Api;
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use testbed::ControlPlaneOnly;
use testbed::faults::{Fault, FaultHandle, Rule};

const ADMINS: [&str; 1] = ["system:masters"];

fn named(name: &str) -> ConfigMap {
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.to_owned());
    map
}

async fn names(bed: &ControlPlaneOnly) -> Result<Vec<String>> {
    let maps: Api<ConfigMap> = Api::namespaced(bed.client().await?, "kube-public");
    Ok(maps.list(&ListParams::default()).await?.into_iter().filter_map(|map| map.metadata.name).collect())
}

#[tokio::test]
async fn the_nth_write_is_done_its_answer_lost_and_nothing_follows_it() -> Result<()> {
    let bed = ControlPlaneOnly::start().await?;
    let faults = FaultHandle::new();
    let maps: Api<ConfigMap> =
        Api::namespaced(bed.faulty_client("cut", &ADMINS, &faults).await?, "kube-public");
    faults.cut_after_write(2);
    let mut events = maps.watch(&WatchParams::default(), "0").await?.boxed();

    maps.create(&PostParams::default(), &named("first")).await?;
    maps.get("first").await?;
    maps.create(&PostParams::default(), &named("second")).await.expect_err("its answer is lost");
    assert!(faults.is_cut());
    faults.until_cut().await;
    maps.create(&PostParams::default(), &named("third")).await.expect_err("a killed process writes nothing");
    maps.get("first").await.expect_err("a killed process reads nothing");
    let broken = tokio::time::timeout(Duration::from_secs(10), async {
        while let Ok(Some(_)) = events.try_next().await {}
    });
    broken.await.expect("the watch ends too");

    let names = names(&bed).await?;
    assert!(names.contains(&"second".to_owned()) && !names.contains(&"third".to_owned()), "{names:?}");
    assert_eq!(faults.writes().len(), 2);
    assert_eq!(faults.count("create", "configmaps"), 2);

    faults.mend();
    maps.create(&PostParams::default(), &named("third")).await?;
    Ok(())
}

#[tokio::test]
async fn a_process_killed_before_its_nth_write_knows_the_answers_to_all_former_ones() -> Result<()> {
    let bed = ControlPlaneOnly::start().await?;
    let faults = FaultHandle::new();
    let maps: Api<ConfigMap> =
        Api::namespaced(bed.faulty_client("cut", &ADMINS, &faults).await?, "kube-public");
    faults.cut_before_write(2);
    maps.create(&PostParams::default(), &named("first")).await?;
    maps.get("first").await?;
    assert!(!faults.is_cut());
    maps.create(&PostParams::default(), &named("second")).await.expect_err("it is not sent");
    assert!(faults.is_cut());
    maps.get("first").await.expect_err("a killed process reads nothing");
    let names = names(&bed).await?;
    assert!(names.contains(&"first".to_owned()) && !names.contains(&"second".to_owned()), "{names:?}");
    assert_eq!(faults.writes().len(), 1);
    Ok(())
}

#[tokio::test]
async fn events_that_do_not_count_are_told_up_to_the_cut() -> Result<()> {
    let bed = ControlPlaneOnly::start().await?;
    let faults = FaultHandle::new();
    let client = bed.faulty_client("cut", &ADMINS, &faults).await?;
    let events: Api<Event> = Api::namespaced(client.clone(), "kube-public");
    let maps: Api<ConfigMap> = Api::namespaced(client, "kube-public");
    let told = |name: &str| Event {
        metadata: named(name).metadata,
        involved_object: ObjectReference {
            namespace: Some("kube-public".to_owned()),
            ..ObjectReference::default()
        },
        ..Event::default()
    };
    faults.events_do_not_count();
    faults.cut_after_write(1);
    events.create(&PostParams::default(), &told("a")).await?;
    events.create(&PostParams::default(), &told("b")).await?;
    assert!(!faults.is_cut());
    maps.create(&PostParams::default(), &named("first")).await.expect_err("its answer is lost");
    events.create(&PostParams::default(), &told("c")).await.expect_err("a killed process tells nothing");
    assert_eq!(faults.writes().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_rule_fails_the_requests_that_it_names_as_often_as_it_says() -> Result<()> {
    let bed = ControlPlaneOnly::start().await?;
    let faults = FaultHandle::new();
    let maps: Api<ConfigMap> =
        Api::namespaced(bed.faulty_client("ruled", &ADMINS, &faults).await?, "kube-public");
    let create = async |name| maps.create(&PostParams::default(), &named(name)).await;

    faults.fail(Rule::every(Fault::Status(409)).verb("create").resource("configmaps").times(1));
    let refused = create("a").await.expect_err("refused");
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 409), "{refused:?}");
    create("a").await?;

    faults.heal();
    faults.fail(Rule::every(Fault::LostAnswer).verb("create").times(1));
    create("b").await.expect_err("the answer is lost");
    maps.get("b").await?;

    faults.fail(Rule::every(Fault::Timeout(Duration::from_millis(5))).name("b"));
    maps.get("b").await.expect_err("timed out");
    maps.get("a").await?;
    Ok(())
}

#[tokio::test]
async fn a_held_watch_says_nothing_until_it_is_released() -> Result<()> {
    let bed = ControlPlaneOnly::start().await?;
    let faults = FaultHandle::new();
    let maps: Api<ConfigMap> =
        Api::namespaced(bed.faulty_client("stale", &ADMINS, &faults).await?, "kube-public");
    let from = maps.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
    let mut events = maps.watch(&WatchParams::default().fields("metadata.name=new"), &from).await?.boxed();

    faults.hold_watches();
    maps.create(&PostParams::default(), &named("new")).await?;
    let early = tokio::time::timeout(Duration::from_millis(500), events.try_next()).await;
    assert!(early.is_err(), "the cache must be stale: {early:?}");
    faults.release_watches();
    let event = tokio::time::timeout(Duration::from_secs(10), events.try_next()).await??;
    assert!(matches!(event, Some(WatchEvent::Added(_))), "{event:?}");
    Ok(())
}
