//! For which minors and profiles a child serves worker configuration (k0s.md 15.2).

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;

use crate::child::Child;
use crate::reach::Reach;
use crate::tokens::KUBE_SYSTEM;

impl Child {
    /// The names of the ConfigMaps `worker-config-<profile>-<minor>`, without that prefix: `default-1.34`.
    pub async fn worker_configs(&self) -> Reach<Vec<String>> {
        let found = self.ask("list the worker configurations", |client| async move {
            let api: Api<ConfigMap> = Api::namespaced(client, KUBE_SYSTEM);
            let list = api.list_metadata(&ListParams::default()).await?;
            let names = list
                .items
                .iter()
                .filter_map(|map| map.metadata.name.as_deref()?.strip_prefix("worker-config-"));
            Ok(names.map(str::to_owned).collect())
        });
        found.await
    }
}
