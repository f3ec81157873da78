//! What people look at: `clusterctl describe cluster`, and the columns of `kubectl get`.

use anyhow::{Context, Result, ensure};
use e2e::demo::Demo;
use testbed::cluster_api::clusterctl;

use crate::support::{Day, eventually, kubectl};

const KINDS: [&str; 5] =
    ["k0smotroncontrolplane", "clusters.k0smotron.io", "k0sworkerconfig", "remotemachine", "remotecluster"];
/// Columns of what the first cluster does not use: no pool of hosts, nothing being deleted.
const NOT_USED: [&str; 1] = ["POOL"];

/// Of a cluster that is ready. Cluster API looks at our objects after us, so its lines may come a moment later.
pub async fn people_see_that_everything_is_well(day: &Day, demo: &Demo) -> Result<()> {
    eventually("clusterctl describe shows every object Ready or Available", || async {
        let tree = clusterctl(&day.bed.cluster, &["describe", "cluster", &demo.name, "-n", &demo.namespace])?;
        let objects: Vec<&str> = tree.lines().filter(|line| line.contains('/')).collect();
        ensure!(
            objects.len() >= 4,
            "cluster, control plane, infrastructure and worker are not all in\n{tree}"
        );
        ensure!(objects.iter().all(|line| line.contains(" True ")), "not all is well:\n{tree}");
        Ok(true)
    })
    .await?;
    for kind in KINDS {
        let table = kubectl(&day.kubeconfig(), &["get", kind, "-n", &demo.namespace, "-o", "wide"]).await?;
        let (header, rows) = table.split_once('\n').context("an empty table")?;
        let columns = starts(header);
        ensure!(columns.len() > 2, "{kind} has no columns of its own: {header}");
        for row in rows.lines() {
            for (index, start) in columns.iter().enumerate() {
                let end = columns.get(index + 1).copied();
                let (title, cell) = (cut(header, *start, end), cut(row, *start, end));
                let filled = !cell.is_empty() && !cell.starts_with('<');
                ensure!(filled || NOT_USED.contains(&title), "column {title} of {kind} is empty:\n{table}");
            }
        }
    }
    day.say("clusterctl describe shows all Ready or Available, and the columns of kubectl get are filled");
    Ok(())
}

/// Where the columns of a table begin: titles may hold single spaces.
fn starts(header: &str) -> Vec<usize> {
    let bytes = header.as_bytes();
    let begins = |at: &usize| bytes[*at] != b' ' && (*at == 0 || bytes[..*at].ends_with(b"   "));
    (0..bytes.len()).filter(begins).collect()
}

fn cut(line: &str, start: usize, end: Option<usize>) -> &str {
    let end = end.unwrap_or(line.len()).min(line.len());
    line.get(start..end).unwrap_or_default().trim()
}
