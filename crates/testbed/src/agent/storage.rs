//! A directory of this machine for each claim.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::PROVISIONER;
use super::react::each;

/// Set by the controller manager on a claim that waits for this provisioner.
const WANTED: &str = "volume.kubernetes.io/storage-provisioner";
const PROVISIONED: &str = "pv.kubernetes.io/provisioned-by";

pub async fn provision(client: Client, volumes: PathBuf) -> Result<()> {
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    let all: Api<PersistentVolume> = Api::all(client);
    tokio::try_join!(
        each(claims, async |claim| make(&all, &volumes, &claim).await),
        each(all.clone(), async |volume| remove(&all, &volumes, &volume).await),
    )?;
    Ok(())
}

async fn make(all: &Api<PersistentVolume>, volumes: &Path, claim: &PersistentVolumeClaim) -> Result<()> {
    let spec = claim.spec.as_ref().context("a claim without spec")?;
    let bound = spec.volume_name.as_ref().is_some_and(|name| !name.is_empty());
    if bound || claim.annotations().get(WANTED).is_none_or(|wanted| wanted != PROVISIONER) {
        return Ok(());
    }
    let uid = claim.uid().context("a claim without uid")?;
    let name = format!("pvc-{uid}");
    let path = volumes.join(&name);
    fs::create_dir_all(&path)?;
    // The kubelet does not change the owner of such directories, and pods run as whom they like.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
    let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let volume: PersistentVolume = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED: PROVISIONER}},
        "spec": {
            "accessModes": spec.access_modes, "volumeMode": "Filesystem",
            "capacity": {"storage": requests.and_then(|requests| requests.get("storage"))},
            "storageClassName": spec.storage_class_name,
            "persistentVolumeReclaimPolicy": "Delete",
            "hostPath": {"path": path, "type": "Directory"},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": claim.namespace(), "name": claim.name_any(), "uid": uid,
            },
        },
    }))?;
    match all.create(&PostParams::default(), &volume).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        result => Ok(result.map(drop)?),
    }
}

/// Deletes what a deleted claim has released.
async fn remove(all: &Api<PersistentVolume>, volumes: &Path, volume: &PersistentVolume) -> Result<()> {
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    let policy = volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    let ours = volume.annotations().get(PROVISIONED).is_some_and(|by| by == PROVISIONER);
    if !ours || phase != Some("Released") || policy != Some("Delete") {
        return Ok(());
    }
    let name = volume.name_any();
    match fs::remove_dir_all(volumes.join(&name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    Ok(all.delete(&name, &DeleteParams::default()).await.map(drop)?)
}
