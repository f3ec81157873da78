//! The files of `clusterctl/` are what the manager prints, and what clusterctl demands.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::path::Path;

use manager::bundle::{self, Bundle, PLACEHOLDER_IMAGE};
use serde_json::Value;

fn objects(bundle: Bundle) -> Vec<Value> {
    bundle::objects(bundle, PLACEHOLDER_IMAGE).unwrap()
}

#[test]
fn the_committed_bundles_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clusterctl");
    for bundle in Bundle::ALL {
        let (path, wanted) = (folder.join(bundle.file()), bundle::yaml(bundle, PLACEHOLDER_IMAGE).unwrap());
        if std::env::var_os("UPDATE_BUNDLES").is_some() {
            std::fs::write(&path, &wanted).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == wanted,
            "{} is stale: UPDATE_BUNDLES=1 cargo test -p manager --test bundles",
            path.display()
        );
    }
}

#[test]
fn p_8_names_and_selectors_are_those_of_the_go_bundles() {
    for (bundle, suffix) in [
        (Bundle::Bootstrap, "-bootstrap"),
        (Bundle::ControlPlane, "-control-plane"),
        (Bundle::Infrastructure, "-infrastructure"),
        (Bundle::Standalone, ""),
    ] {
        let all = objects(bundle);
        let deployment = all.iter().find(|object| object["kind"] == "Deployment").unwrap();
        assert_eq!(deployment["metadata"]["name"], format!("k0smotron-controller-manager{suffix}"));
        let selector = &deployment["spec"]["selector"]["matchLabels"];
        assert_eq!(selector["control-plane"], "controller-manager");
        assert_eq!(selector.get("k0smotron-provider").is_some(), bundle != Bundle::Standalone);
        assert_eq!(*selector, deployment["spec"]["template"]["metadata"]["labels"]);
        let names = |kind: &str| {
            all.iter()
                .filter(|o| o["kind"] == kind)
                .map(|o| o["metadata"]["name"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert!(names("ClusterRole").contains(&format!("k0smotron-manager-role{suffix}")));
        assert_eq!(names("ClusterRoleBinding"), [format!("k0smotron-manager-rolebinding{suffix}")]);
        assert_eq!(names("Namespace"), ["k0smotron"]);
    }
}

#[test]
fn every_kind_is_in_one_components_file_and_says_which_contract_it_meets() {
    let mut seen = Vec::new();
    for bundle in [Bundle::Bootstrap, Bundle::ControlPlane, Bundle::Infrastructure] {
        for crd in objects(bundle).into_iter().filter(|object| object["kind"] == "CustomResourceDefinition") {
            let labels = &crd["metadata"]["labels"];
            let contract = crd["spec"]["group"] != "k0smotron.io";
            assert_eq!(
                labels["cluster.x-k8s.io/v1beta2"] == "v1beta2",
                contract,
                "{}",
                crd["metadata"]["name"]
            );
            assert!(labels.get("cluster.x-k8s.io/v1beta1").is_none(), "v1beta1 is not served yet");
            seen.push(crd["metadata"]["name"].as_str().unwrap().to_owned());
        }
    }
    seen.sort();
    let mut all: Vec<_> = api::kinds::KINDS.iter().map(api::kinds::Kind::crd_name).collect();
    all.sort();
    assert_eq!(seen, all);
}

#[test]
fn every_variable_of_a_components_file_has_a_default() {
    for bundle in Bundle::ALL {
        for rest in bundle::yaml(bundle, PLACEHOLDER_IMAGE).unwrap().split("${").skip(1) {
            let inside = rest.split('}').next().unwrap();
            assert!(inside.starts_with("K0SMOTRON_") && inside.contains(":="), "{bundle:?}: ${{{inside}}}");
        }
    }
}

#[test]
fn the_pod_is_restricted() {
    for bundle in Bundle::ALL {
        let all = objects(bundle);
        let pod =
            &all.iter().find(|object| object["kind"] == "Deployment").unwrap()["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        assert_eq!(container["name"], "manager");
        let security = &container["securityContext"];
        assert_eq!(
            (&security["readOnlyRootFilesystem"], &security["allowPrivilegeEscalation"]),
            (&Value::Bool(true), &Value::Bool(false))
        );
        assert_eq!(security["capabilities"]["drop"][0], "ALL");
        assert_eq!(
            (&pod["securityContext"]["runAsNonRoot"], &security["runAsUser"]),
            (&Value::Bool(true), &65532.into())
        );
        assert!(container["resources"]["limits"].get("cpu").is_none());
    }
}

#[test]
fn the_image_of_the_dockerfile_fits_the_pod() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let dockerfile = std::fs::read_to_string(root.join("Dockerfile")).unwrap();
    let line = |word: &str| {
        dockerfile.lines().rev().find_map(|line| line.strip_prefix(word)).unwrap().trim().to_owned()
    };
    let entrypoint: Value = serde_json::from_str(&line("ENTRYPOINT")).unwrap();
    for bundle in Bundle::ALL {
        let all = objects(bundle);
        let pod = &all.iter().find(|o| o["kind"] == "Deployment").unwrap()["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        assert_eq!(container["command"], entrypoint, "{bundle:?}");
        let security = &container["securityContext"];
        assert_eq!(
            format!("{}:{}", security["runAsUser"], security["runAsGroup"]),
            line("USER"),
            "{bundle:?}"
        );
    }
    let copied = |word: &str| dockerfile.lines().any(|line| line.starts_with("COPY") && line.ends_with(word));
    assert!(copied(entrypoint[0].as_str().unwrap()), "the entrypoint is in the image");
    // The toolchain of the image is the one that the repository asks for.
    let toolchain = std::fs::read_to_string(root.join("rust-toolchain.toml")).unwrap();
    assert!(toolchain.contains(&format!("\"{}\"", line("ENV RUSTUP_TOOLCHAIN="))));
}
