//! cert-manager's part for components that rely on it (Cluster API's core does): the Secret that each Certificate
//! asks for, and the authority in webhook configurations and CustomResourceDefinitions that ask for it.
//!
//! It watches from before they are installed: webhook configurations come after the Certificate, and a Secret that
//! comes late costs a pod 20 s of the kubelet's patience.

use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::runtime::wait::{await_condition, conditions::is_crd_established};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::react::each;
use crate::authority::Authority;

/// On an object that wants the authority of the Certificate that it names.
const INJECT: &str = "cert-manager.io/inject-ca-from";
const NAME: &str = "testbed-signer";

/// The one that was used before, or a new one.
pub fn authority(pki: &Path) -> Result<Authority> {
    if pki.join("ca.key").exists() {
        return Authority::read(pki, NAME);
    }
    let authority = Authority::new(NAME)?;
    authority.pair().write(pki, "ca")?;
    Ok(authority)
}

pub async fn sign(client: Client, authority: Authority) -> Result<()> {
    let bundle = STANDARD.encode(authority.certificate());
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    tokio::try_join!(
        certificates(client, &authority),
        each(validating.clone(), async |config: ValidatingWebhookConfiguration| {
            let wants = config.annotations().contains_key(INJECT);
            let name = config.name_any();
            if let Some(patch) = inject(&config.webhooks, &bundle)?.filter(|_| wants) {
                validating.patch(&name, &PatchParams::default(), &patch).await?;
            }
            Ok(())
        }),
        each(mutating.clone(), async |config: MutatingWebhookConfiguration| {
            let wants = config.annotations().contains_key(INJECT);
            let name = config.name_any();
            if let Some(patch) = inject(&config.webhooks, &bundle)?.filter(|_| wants) {
                mutating.patch(&name, &PatchParams::default(), &patch).await?;
            }
            Ok(())
        }),
        each(crds.clone(), async |crd| inject_crd(&crds, &crd, &bundle).await),
    )?;
    Ok(())
}

async fn certificates(client: Client, authority: &Authority) -> Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    await_condition(crds, "certificates.cert-manager.io", is_crd_established()).await?;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("cert-manager.io", "v1", "Certificate"));
    let all: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
    each(all, async |certificate| secret(&client, authority, &certificate).await).await
}

async fn secret(client: &Client, authority: &Authority, certificate: &DynamicObject) -> Result<()> {
    let spec = &certificate.data["spec"];
    let name = spec["secretName"].as_str().context("spec.secretName")?;
    let namespace = certificate.namespace().context("a Certificate without namespace")?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    if secrets.get_opt(name).await?.is_some() {
        return Ok(());
    }
    let hosts: Vec<&str> =
        spec["dnsNames"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let pair = authority.server(hosts.first().copied().unwrap_or(name), &hosts)?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": authority.certificate()},
    });
    secrets.patch(name, &PatchParams::apply(NAME).force(), &Patch::Apply(secret)).await?;
    Ok(())
}

/// The patch that gives every webhook the authority; none if all have it.
fn inject(webhooks: &impl serde::Serialize, bundle: &str) -> Result<Option<Patch<Value>>> {
    let webhooks = serde_json::to_value(webhooks)?;
    let operations: Vec<Value> = webhooks
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .filter(|(_, webhook)| webhook["clientConfig"]["caBundle"] != bundle)
        .map(|(at, _)| json!({"op": "add", "path": format!("/webhooks/{at}/clientConfig/caBundle"), "value": bundle}))
        .collect();
    if operations.is_empty() {
        return Ok(None);
    }
    Ok(Some(Patch::Json(serde_json::from_value(Value::Array(operations))?)))
}

async fn inject_crd(
    crds: &Api<CustomResourceDefinition>,
    crd: &CustomResourceDefinition,
    bundle: &str,
) -> Result<()> {
    let webhook = crd.spec.conversion.as_ref().and_then(|conversion| conversion.webhook.as_ref());
    let Some(config) = webhook.and_then(|webhook| webhook.client_config.as_ref()) else { return Ok(()) };
    let has = config.ca_bundle.as_ref().is_some_and(|has| STANDARD.encode(&has.0) == bundle);
    if has || !crd.annotations().contains_key(INJECT) {
        return Ok(());
    }
    // The version makes a conflict of what was said before the last patch: events queue up while CRDs settle.
    let version = json!({"resourceVersion": crd.resource_version()});
    let patch = json!({"metadata": version, "spec": {"conversion": {"webhook": {"clientConfig": {"caBundle": bundle}}}}});
    crds.patch(&crd.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}
