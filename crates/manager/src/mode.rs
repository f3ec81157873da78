//! `--enable-controller`: which controllers run, and under which lease (packaging-and-api 2.1, 2.5).

use md5::{Digest as _, Md5};
use sha2::Sha256;

/// A value of `--enable-controller`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Empty: everything.
    Everything,
    /// `all`: everything, under a lease of its own.
    All,
    /// `bootstrap`
    Bootstrap,
    /// `control-plane`
    ControlPlane,
    /// `infrastructure`
    Infrastructure,
    /// `standalone`
    Standalone,
}

impl Mode {
    const EVERY: [Self; 6] = [
        Self::Everything,
        Self::All,
        Self::Bootstrap,
        Self::ControlPlane,
        Self::Infrastructure,
        Self::Standalone,
    ];

    /// The flag's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Everything => "",
            Self::All => "all",
            Self::Bootstrap => "bootstrap",
            Self::ControlPlane => "control-plane",
            Self::Infrastructure => "infrastructure",
            Self::Standalone => "standalone",
        }
    }

    /// Reads the flag.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::EVERY.into_iter().find(|mode| mode.as_str() == text).ok_or_else(|| {
            let known: Vec<_> =
                Self::EVERY.iter().map(|mode| mode.as_str()).filter(|text| !text.is_empty()).collect();
            format!("{text:?} is none of {} (or empty, which is all)", known.join(", "))
        })
    }

    /// Runs the bootstrap controllers.
    pub fn bootstrap(self) -> bool {
        matches!(self, Self::Everything | Self::All | Self::Bootstrap)
    }

    /// Runs the controllers of the `k0smotron.io` group, which need no Cluster API.
    pub fn hosted(self) -> bool {
        matches!(self, Self::Everything | Self::All | Self::ControlPlane | Self::Standalone)
    }

    /// Runs the Cluster API control-plane controllers.
    pub fn control_plane(self) -> bool {
        matches!(self, Self::Everything | Self::All | Self::ControlPlane)
    }

    /// Runs the infrastructure controllers.
    pub fn infrastructure(self) -> bool {
        matches!(self, Self::Everything | Self::All | Self::Infrastructure)
    }

    /// The name of the lease: the Go manager's of the same mode, so that the two never act at once; with a
    /// filter or namespaces a name of their own, so that instances of different scope do not block each other.
    pub fn lease(self, watch_filter: &str, namespaces: &[String]) -> String {
        let mode = hex::encode(Md5::digest(self.as_str()));
        if watch_filter.is_empty() && namespaces.is_empty() {
            return format!("{mode}.k0smotron.io");
        }
        let scope = hex::encode(Sha256::digest(format!("{watch_filter}/{}", namespaces.join(","))));
        format!("{mode}-{}.k0smotron.io", &scope[..8])
    }
}

#[cfg(test)]
mod tests {
    use super::Mode;

    #[test]
    fn p_7_leases_are_those_of_the_go_manager() {
        for (mode, hash) in [
            (Mode::Everything, "d41d8cd98f00b204e9800998ecf8427e"),
            (Mode::All, "a181a603769c1f98ad927e7367c7aa51"),
            (Mode::Bootstrap, "ca4c50b905dc21ea17a10549a6f5944f"),
            (Mode::ControlPlane, "f6ddf68f34963ade25bce356fc63d572"),
            (Mode::Infrastructure, "6e3301c94e4de897ec67fa9735a848d5"),
            (Mode::Standalone, "083a7d1ebf6f499af0c1b1bb489b4941"),
        ] {
            assert_eq!(mode.lease("", &[]), format!("{hash}.k0smotron.io"));
        }
    }

    #[test]
    fn instances_of_different_scope_have_different_leases() {
        let one = Mode::Bootstrap.lease("a", &[]);
        assert_ne!(one, Mode::Bootstrap.lease("b", &[]));
        assert_ne!(one, Mode::Bootstrap.lease("", &["a".into()]));
    }
}
