//! From which version on k0s can do what (k0s.md 1.2): one table.

use crate::Version;

/// Something that not every version can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// EtcdMember objects; control-plane load balancing.
    EtcdMember,
    /// `spec.api.onlyBindToAddress`; `extensions.storage` is ignored from here on.
    OnlyBindToAddress,
    /// The etcd member may carry the name that we give it.
    EtcdMemberNamed,
    /// EtcdMember can be relied upon for leaving.
    EtcdMemberReliable,
    /// Token Secrets are read strictly; `--kubelet-root-dir`.
    StrictTokenSecrets,
    /// `api.ca`, `storage.etcd.ca`; `--init-only`; telemetry off by default.
    AuthorityLife,
    /// A port in `api.externalAddress` and `konnectivity.externalAddress`.
    ExternalAddressWithPort,
    /// The component `update-prober`.
    UpdateProber,
    /// `rawArgs`; `primaryAddressFamily`; `--feature-gates`; etcd 3.6.
    RawArgs,
    /// Workers of control planes behind an ingress.
    IngressWorkers,
    /// Windows workers.
    WindowsWorkers,
    /// `K0S_TOKEN`; `install --start`.
    TokenFromEnvironment,
    /// New etcd members begin as learners.
    Learners,
    /// A leaving target stops its etcd itself (level 2).
    LeaveStopsTarget,
    /// A leaving target removes itself (level 3).
    LeaveRemovesItself,
    /// `spec.patches`; `--api-server-stop-timeout`; air-gap assets under their new names.
    Patches,
    /// Anonymous access to chosen paths by an authentication-config file.
    AnonymousProbes,
    /// Leaves are renewed under an etcd authority of any name; API ports below 1024 without privileges.
    AnyEtcdAuthorityName,
}

/// Minor, first patch in it, first `+k0s.N` of that patch. Minors after the last row have the feature; minors
/// before the first, and those without a row in between, lack it.
type Row = (u32, u32, u32);

impl Feature {
    fn rows(self) -> &'static [Row] {
        match self {
            Self::EtcdMember => &[(30, 0, 0)],
            Self::OnlyBindToAddress => &[(31, 0, 0)],
            Self::EtcdMemberNamed => &[(31, 1, 0)],
            Self::EtcdMemberReliable => &[(31, 6, 0)],
            Self::StrictTokenSecrets => &[(32, 0, 0)],
            Self::AuthorityLife => &[(33, 0, 0)],
            Self::ExternalAddressWithPort => &[(31, 13, 0), (32, 10, 0), (33, 6, 0), (34, 0, 0)],
            Self::UpdateProber => &[(32, 10, 0), (33, 6, 0), (34, 0, 0)],
            Self::RawArgs => &[(34, 0, 0)],
            Self::IngressWorkers => &[(34, 1, 0)],
            Self::WindowsWorkers => &[(34, 2, 0)],
            Self::TokenFromEnvironment => &[(35, 0, 0)],
            Self::Learners | Self::LeaveRemovesItself => &[(35, 5, 0), (36, 1, 0)],
            Self::LeaveStopsTarget => &[(34, 4, 0), (35, 1, 0)],
            Self::Patches => &[(36, 0, 0)],
            Self::AnonymousProbes => &[(36, 3, 1)],
            Self::AnyEtcdAuthorityName => &[(37, 0, 0)],
        }
    }

    /// Whether this version has it (K0S-2).
    pub fn in_version(self, version: &Version) -> bool {
        if version.major() != 1 {
            return version.major() > 1;
        }
        let rows = self.rows();
        match rows.iter().find(|(minor, ..)| *minor == version.minor()) {
            Some(&(_, patch, build)) => {
                // A prerelease of the boundary is told apart only where a build number decides: elsewhere the
                // table speaks of numbers.
                let new_enough =
                    build == 0 || version.prerelease().is_none() && version.build().unwrap_or(0) >= build;
                version.patch() > patch || version.patch() == patch && new_enough
            }
            None => rows.last().is_some_and(|(minor, ..)| version.minor() > *minor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// K0S-2: each row at its boundary, one below, and in the next minor.
    #[test]
    fn a_feature_begins_where_its_row_says() {
        let table = [
            (Feature::EtcdMember, "1.30.0", Some("1.29.9")),
            (Feature::OnlyBindToAddress, "1.31.0", Some("1.30.9")),
            (Feature::EtcdMemberNamed, "1.31.1", Some("1.31.0")),
            (Feature::EtcdMemberReliable, "1.31.6", Some("1.31.5")),
            (Feature::StrictTokenSecrets, "1.32.0", Some("1.31.99")),
            (Feature::AuthorityLife, "1.33.0", Some("1.32.99")),
            (Feature::ExternalAddressWithPort, "1.31.13", Some("1.31.12")),
            (Feature::ExternalAddressWithPort, "1.32.10", Some("1.32.9")),
            (Feature::ExternalAddressWithPort, "1.33.6", Some("1.33.5")),
            (Feature::ExternalAddressWithPort, "1.34.0", None),
            (Feature::UpdateProber, "1.32.10", Some("1.31.13")),
            (Feature::RawArgs, "1.34.0", Some("1.33.13")),
            (Feature::IngressWorkers, "1.34.1+k0s.0", Some("1.34.0")),
            (Feature::WindowsWorkers, "1.34.2+k0s.0", Some("1.34.1+k0s.3")),
            (Feature::TokenFromEnvironment, "1.35.1", Some("1.34.10")),
            (Feature::Learners, "1.35.5", Some("1.35.4")),
            (Feature::Learners, "1.36.1", Some("1.36.0")),
            (Feature::Patches, "1.36.1", Some("1.35.7")),
            (Feature::AnonymousProbes, "1.36.3+k0s.1", Some("1.36.3+k0s.0")),
            (Feature::AnonymousProbes, "1.36.4", Some("1.36.3-rc.0+k0s.1")),
            (Feature::AnyEtcdAuthorityName, "1.37.0", Some("1.36.9")),
        ];
        for (feature, first, below) in table {
            let first: Version = first.parse().unwrap();
            assert!(feature.in_version(&first), "{feature:?} in {first}");
            if let Some(below) = below {
                assert!(!feature.in_version(&below.parse().unwrap()), "{feature:?} not in {below}");
            }
            let later = Version::new(1, 38, 0, None);
            assert!(feature.in_version(&later), "{feature:?} in {later}");
        }
    }
}
