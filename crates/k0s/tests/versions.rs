//! K0S-1: syntax, forms and order of versions.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

use k0s::{Version, image_tag, names};
use proptest::prelude::*;

fn version() -> impl Strategy<Value = Version> {
    let prerelease = prop::option::of(prop::sample::select(vec!["alpha.1", "beta.0", "rc.9", "rc.10"]));
    let build = prop::option::of(0_u32..100);
    ((0_u32..3, 0_u32..50, 0_u32..200), prerelease, build).prop_map(
        |((major, minor, patch), prerelease, build)| {
            let prerelease = prerelease.map(|text| format!("-{text}")).unwrap_or_default();
            let build = build.map(|build| format!("+k0s.{build}")).unwrap_or_default();
            format!("v{major}.{minor}.{patch}{prerelease}{build}").parse().unwrap()
        },
    )
}

proptest! {
    #[test]
    fn k0s1_both_forms_are_read_back(version in version()) {
        prop_assert_eq!(&version.to_string().parse::<Version>().unwrap(), &version);
        prop_assert_eq!(&version.dashed().parse::<Version>().unwrap(), &version);
        let bare = version.to_string().replacen('v', "", 1);
        prop_assert_eq!(&bare.parse::<Version>().unwrap(), &version);
        let json = serde_json::to_string(&version).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Version>(&json).unwrap(), &version);
    }

    #[test]
    fn k0s1_the_order_is_total(a in version(), b in version(), c in version()) {
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a == b, a.cmp(&b).is_eq());
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
    }

    #[test]
    fn no_text_makes_the_parser_fall_over(text in "v?[0-9.+a-zA-Z-]{0,20}") {
        if let Ok(version) = text.parse::<Version>() {
            prop_assert_eq!(version.to_string().parse::<Version>().unwrap().to_string(), version.to_string());
        }
        let _ = image_tag(&text);
    }
}

/// Each is older than the next.
#[test]
fn k0s1_older_and_newer() {
    let ladder = [
        "v1.9.9+k0s.9",
        "v1.30.0-alpha.1+k0s.0",
        "v1.30.0-beta.0+k0s.0",
        "v1.30.0-rc.0",
        "v1.30.0-rc.0+k0s.0",
        "v1.30.0-rc.0+k0s.1",
        "v1.30.0-rc.10+k0s.0",
        "v1.30.0-rc.9+k0s.0",
        "v1.30.0",
        "v1.30.0+k0s.0",
        "v1.30.0+k0s.1",
        "v1.30.0+k0s.2",
        "v1.30.0+k0s.10",
        "v1.30.1",
        "v1.30.2+k0s",
        "v1.30.10+k0s.0",
        "v1.31.0-rc.1",
        "v1.31.0",
        "1.31.2",
        "1.31.2+k0s.0",
        "v1.31.2-k0s.1",
        "v1.36.3-rc.0+k0s.1",
        "v1.36.3+k0s.0",
        "v1.36.3-k0s.2",
        "v1.37.0-alpha.1",
        "v2.0.0",
    ];
    let ladder = ladder.map(|text| text.parse::<Version>().unwrap());
    for (place, version) in ladder.iter().enumerate() {
        for (other_place, other) in ladder.iter().enumerate() {
            assert_eq!(version.cmp(other), place.cmp(&other_place), "{version} and {other}");
        }
    }
}

#[test]
fn k0s1_the_same_in_other_words() {
    for (one, other) in [
        ("v1.31.2+k0s", "v1.31.2+k0s.0"),
        ("1.31.2", "v1.31.2"),
        ("v1.31.2-k0s.3", "v1.31.2+k0s.3"),
        ("v1.31.2-rc.1-k0s.3", "v1.31.2-rc.1+k0s.3"),
        ("v1.31.2+k0s.3.dirty", "v1.31.2+k0s.3"),
        ("v1.31.2+k0s.3-4-gabc", "v1.31.2+k0s.3"),
        ("v1.31.2+vendor.5", "v1.31.2"),
    ] {
        assert_eq!(one.parse::<Version>().unwrap(), other.parse().unwrap(), "{one} and {other}");
    }
    let missing: Version = "v1.31.2".parse().unwrap();
    assert_ne!(missing, "v1.31.2+k0s.0".parse().unwrap());
    assert_eq!(missing.completed(), "v1.31.2+k0s.0".parse().unwrap());
    let given: Version = "v1.31.2+k0s.1".parse().unwrap();
    assert_eq!(given.completed(), given);
    assert_eq!(Version::parse_lenient("1.36").unwrap(), "v1.36.0".parse().unwrap());
}

#[test]
fn k0s1_what_is_no_version_is_refused_with_the_value() {
    for text in [
        "",
        "v",
        "1.36",
        "v1.36",
        "v1.36.3.4",
        "v1.36.x",
        "v1.36.3 ",
        " v1.36.3",
        "v1.36.3+",
        "v1.36.3-",
        "v1.36.3+k0s.",
        "v1.36.3+k0s.x",
        "v1.036.3",
        "v1.36.3_k0s.1",
        "v1.36.3-k0s.1+k0s.2",
        "latest",
        "v1.36.99999999999",
        "v-1.2.3",
    ] {
        let fault = text.parse::<Version>().unwrap_err();
        assert!(fault.to_string().contains(&format!("{text:?}")), "{fault}");
    }
}

/// hosted.md 1.
#[test]
fn image_tags_follow_the_text() {
    for (version, tag) in [
        ("v1.36.3+k0s.1", "v1.36.3-k0s.1"),
        ("v1.36.3-k0s.1", "v1.36.3-k0s.1"),
        ("v1.36.3+k0s", "v1.36.3-k0s.0"),
        ("v1.36.3", "v1.36.3-k0s.0"),
        ("v1.27.9-k0s.0", "v1.27.9-k0s.0"),
        ("v1.36.3-rc.0+k0s.1", "v1.36.3-rc.0-k0s.1"),
    ] {
        assert_eq!(image_tag(version), tag);
    }
}

/// K0S-3.
#[test]
fn k0s3_urls_and_names_of_artefacts() {
    let version: Version = "v1.36.3+k0s.2".parse().unwrap();
    assert_eq!(
        names::binary_url(&version, "arm64"),
        "https://get.k0sproject.io/v1.36.3%2Bk0s.2/k0s-v1.36.3%2Bk0s.2-arm64"
    );
    assert_eq!(
        names::checksums_url(&version),
        "https://github.com/k0sproject/k0s/releases/download/v1.36.3%2Bk0s.2/sha256sums.txt"
    );
    assert_eq!(names::architecture("aarch64"), Some("arm64"));
    assert_eq!(names::architecture("riscv64"), None);
    assert_eq!(names::worker_config_map(None, &version), "worker-config-default-1.36");
    assert_eq!(names::token_path(Some("/opt/k")), "/opt/k/k0s.token");
    assert_eq!(names::rendered_config_path(None), "/etc/k0s.yaml");
}
