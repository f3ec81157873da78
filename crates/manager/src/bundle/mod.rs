//! The components files that `clusterctl init` and `kubectl apply` install (packaging-and-api 3 to 6).
//!
//! Names, selectors, labels and arguments are those of the Go bundles (P-8): an apply of ours over theirs
//! changes a Deployment, and makes no second one.

mod deployment;
mod objects;
mod roles;

use anyhow::{Context, bail};
use serde_json::Value;

use api::crd;
use api::kinds::{Component, KINDS, Kind};

/// The image of unreleased bundles. It names its registry, because clusterctl refuses an image that does not.
pub const PLACEHOLDER_IMAGE: &str = "docker.io/k0s/k0smotron:latest";
/// The namespace of every bundle.
pub const NAMESPACE: &str = "k0smotron";
const PROVIDER_LABEL: (&str, &str) = ("cluster.x-k8s.io/provider", "k0sproject-k0smotron");

/// What is installed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bundle {
    /// `bootstrap-components.yaml`
    Bootstrap,
    /// `control-plane-components.yaml`
    ControlPlane,
    /// `infrastructure-components.yaml`
    Infrastructure,
    /// `install-standalone.yaml`
    Standalone,
}

impl Bundle {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bootstrap, Self::ControlPlane, Self::Infrastructure, Self::Standalone];

    /// Finds one by its name on the command line.
    pub fn parse(name: &str) -> anyhow::Result<Self> {
        match Self::ALL.into_iter().find(|bundle| bundle.mode() == name) {
            Some(bundle) => Ok(bundle),
            None => bail!("bundle {name:?} is none of {}", Self::ALL.map(Self::mode).join(", ")),
        }
    }

    /// The value of `--enable-controller`.
    pub fn mode(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::ControlPlane => "control-plane",
            Self::Infrastructure => "infrastructure",
            Self::Standalone => "standalone",
        }
    }

    /// Its file in a release and in `clusterctl/`.
    pub fn file(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap-components.yaml",
            Self::ControlPlane => "control-plane-components.yaml",
            Self::Infrastructure => "infrastructure-components.yaml",
            Self::Standalone => "install-standalone.yaml",
        }
    }

    /// The end of the names of its objects.
    fn suffix(self) -> &'static str {
        match self {
            Self::Bootstrap => "-bootstrap",
            Self::ControlPlane => "-control-plane",
            Self::Infrastructure => "-infrastructure",
            Self::Standalone => "",
        }
    }

    /// Whether clusterctl installs it.
    fn is_provider(self) -> bool {
        self != Self::Standalone
    }

    /// Whether it carries a kind.
    fn carries(self, kind: &Kind) -> bool {
        match self {
            Self::Bootstrap => kind.component == Component::Bootstrap,
            Self::ControlPlane => kind.component == Component::ControlPlane,
            Self::Infrastructure => kind.component == Component::Infrastructure,
            Self::Standalone => kind.standalone(),
        }
    }
}

/// The YAML documents of all CRDs.
pub fn crds() -> anyhow::Result<String> {
    let mut documents = Vec::new();
    for kind in KINDS {
        documents.push(crd::yaml(&crd::crd(kind)?)?);
    }
    Ok(documents.concat())
}

/// The YAML documents of a bundle.
pub fn yaml(bundle: Bundle, image: &str) -> anyhow::Result<String> {
    let mut documents = Vec::new();
    for object in objects(bundle, image)? {
        documents.push(serde_saphyr::to_string(&object).context("cannot write a component as YAML")?);
    }
    Ok(documents.join("---\n"))
}

/// The objects of a bundle, in the order in which they are applied.
pub fn objects(bundle: Bundle, image: &str) -> anyhow::Result<Vec<Value>> {
    let mut all = vec![objects::namespace(bundle)];
    for kind in KINDS.iter().filter(|kind| bundle.carries(kind)) {
        all.push(serde_json::to_value(crd::crd(kind)?).context("cannot serialise a CRD")?);
    }
    all.extend(roles::objects(bundle));
    all.extend(objects::rest(bundle));
    all.push(deployment::deployment(bundle, image));
    for object in &mut all {
        objects::label(object, bundle);
    }
    Ok(all)
}
