//! `kind!`: a Kubernetes object as a plain struct.
//!
//! kube's derive makes `spec` required, but `spec` is optional at the root of every kind we deal with, and one
//! object that cannot be decoded would stop the watch of its whole kind.

/// Defines the root struct of a namespaced kind: `metadata`, `spec` and, if a type is given, `status`.
///
/// The struct implements `kube::Resource`, serialises with its `apiVersion` and `kind`, and decodes with any
/// part missing.
#[macro_export]
macro_rules! kind {
    (
        $(#[$attribute:meta])*
        $name:ident { group: $group:expr, version: $version:expr, kind: $kind:expr, plural: $plural:expr, spec: $spec:ty, status: $status:ty $(,)? }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, Default, PartialEq, ::serde::Deserialize)]
        #[serde(default)]
        pub struct $name {
            /// Standard object metadata.
            pub metadata: ::kube::core::ObjectMeta,
            /// What is wanted.
            pub spec: $spec,
            /// What is observed.
            pub status: ::core::option::Option<$status>,
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::core::result::Result<S::Ok, S::Error> {
                use ::serde::ser::SerializeStruct as _;
                let Self { metadata, spec, status } = self;
                let mut object = serializer.serialize_struct($kind, 4 + usize::from(status.is_some()))?;
                object.serialize_field("apiVersion", &<Self as ::kube::Resource>::api_version(&()))?;
                object.serialize_field("kind", $kind)?;
                object.serialize_field("metadata", metadata)?;
                object.serialize_field("spec", spec)?;
                if let ::core::option::Option::Some(status) = status {
                    object.serialize_field("status", status)?;
                }
                object.end()
            }
        }

        impl ::kube::core::object::HasStatus for $name {
            type Status = $status;
            fn status(&self) -> ::core::option::Option<&$status> {
                self.status.as_ref()
            }
            fn status_mut(&mut self) -> &mut ::core::option::Option<$status> {
                &mut self.status
            }
        }

        $crate::kind!(@common $name, $group, $version, $kind, $plural, $spec);
    };
    (
        $(#[$attribute:meta])*
        $name:ident { group: $group:expr, version: $version:expr, kind: $kind:expr, plural: $plural:expr, spec: $spec:ty $(,)? }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, Default, PartialEq, ::serde::Deserialize)]
        #[serde(default)]
        pub struct $name {
            /// Standard object metadata.
            pub metadata: ::kube::core::ObjectMeta,
            /// What is wanted.
            pub spec: $spec,
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::core::result::Result<S::Ok, S::Error> {
                use ::serde::ser::SerializeStruct as _;
                let Self { metadata, spec } = self;
                let mut object = serializer.serialize_struct($kind, 4)?;
                object.serialize_field("apiVersion", &<Self as ::kube::Resource>::api_version(&()))?;
                object.serialize_field("kind", $kind)?;
                object.serialize_field("metadata", metadata)?;
                object.serialize_field("spec", spec)?;
                object.end()
            }
        }

        $crate::kind!(@common $name, $group, $version, $kind, $plural, $spec);
    };
    (@common $name:ident, $group:expr, $version:expr, $kind:expr, $plural:expr, $spec:ty) => {
        impl $name {
            /// An object of this kind with a name and a spec, and nothing else.
            pub fn new(name: &str, spec: $spec) -> Self {
                let mut object = Self::default();
                object.metadata.name = ::core::option::Option::Some(name.to_owned());
                object.spec = spec;
                object
            }
        }

        impl ::kube::Resource for $name {
            type DynamicType = ();
            type Scope = ::k8s_openapi::NamespaceResourceScope;
            fn kind(_: &()) -> ::std::borrow::Cow<'_, str> {
                $kind.into()
            }
            fn group(_: &()) -> ::std::borrow::Cow<'_, str> {
                $group.into()
            }
            fn version(_: &()) -> ::std::borrow::Cow<'_, str> {
                $version.into()
            }
            fn plural(_: &()) -> ::std::borrow::Cow<'_, str> {
                $plural.into()
            }
            fn meta(&self) -> &::kube::core::ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut ::kube::core::ObjectMeta {
                &mut self.metadata
            }
        }

        impl ::kube::core::object::HasSpec for $name {
            type Spec = $spec;
            fn spec(&self) -> &$spec {
                &self.spec
            }
            fn spec_mut(&mut self) -> &mut $spec {
                &mut self.spec
            }
        }
    };
}
