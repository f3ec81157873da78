//! What a request to an API server asks for, read from its method and path.

use http::Method;

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiRequest {
    /// As RBAC and the audit log call it.
    pub verb: String,
    /// The plural of the kind; for other URLs the path.
    pub resource: String,
    /// `status`, `scale`, ...; empty for the object itself.
    pub subresource: String,
    /// Empty for what is in none.
    pub namespace: String,
    /// Empty for collections.
    pub name: String,
    dry_run: bool,
}

/// POSTs that ask a question and change nothing.
const QUESTIONS: [&str; 5] = [
    "tokenreviews",
    "subjectaccessreviews",
    "localsubjectaccessreviews",
    "selfsubjectaccessreviews",
    "selfsubjectrulesreviews",
];

impl ApiRequest {
    /// Reads it.
    pub fn of<B>(request: &http::Request<B>) -> Self {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let rest = match parts.as_slice() {
            ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] if !rest.is_empty() => rest,
            _ => &[],
        };
        let (namespace, rest) = match rest {
            // Of a namespace itself only these are subresources; everything else is a resource in it.
            ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => ("", rest),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            _ => ("", rest),
        };
        let part = |at: usize| rest.get(at).copied().unwrap_or_default().to_owned();
        let has = |pair: &str| query.split('&').any(|part| part == pair);
        let named = rest.len() > 1;
        let verb = match *request.method() {
            Method::GET if has("watch=true") || has("watch=1") => "watch",
            Method::GET if named || rest.is_empty() => "get",
            Method::GET => "list",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if named => "delete",
            Method::DELETE => "deletecollection",
            _ => request.method().as_str(),
        };
        Self {
            verb: verb.to_owned(),
            resource: if rest.is_empty() { path.to_owned() } else { part(0) },
            subresource: part(2),
            namespace: namespace.to_owned(),
            name: part(1),
            dry_run: query.contains("dryRun=All"),
        }
    }

    /// The resource and, after a slash, the subresource if it is one.
    pub fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// Whether it changes what a reader could care about. Leases do not count: they are written by the clock, and a
    /// story's n-th write would be another one each time.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch" | "HEAD")
            && !self.dry_run
            && self.resource != "leases"
            && !QUESTIONS.contains(&self.resource.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, uri: &str) -> ApiRequest {
        ApiRequest::of(&http::Request::builder().method(method).uri(uri).body(()).unwrap())
    }

    #[test]
    fn a_path_is_read_as_the_api_server_reads_it() {
        let read =
            of("PATCH", "/apis/cluster.x-k8s.io/v1beta2/namespaces/a/machines/m/status?fieldManager=x");
        assert_eq!((read.verb.as_str(), read.full_resource().as_str()), ("patch", "machines/status"));
        assert_eq!((read.namespace.as_str(), read.name.as_str()), ("a", "m"));
        assert_eq!(of("GET", "/api/v1/secrets").verb, "list");
        assert_eq!(of("GET", "/api/v1/secrets?limit=5&watch=true").verb, "watch");
        let namespace = of("DELETE", "/api/v1/namespaces/a");
        assert_eq!(
            (namespace.verb.as_str(), namespace.resource.as_str(), namespace.name.as_str()),
            ("delete", "namespaces", "a")
        );
        assert_eq!(of("GET", "/readyz").resource, "/readyz");
    }

    #[test]
    fn questions_leases_and_dry_runs_are_no_writes() {
        assert!(of("POST", "/api/v1/namespaces/a/secrets").is_write());
        assert!(!of("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews").is_write());
        assert!(!of("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/l").is_write());
        assert!(!of("POST", "/api/v1/namespaces/a/secrets?dryRun=All").is_write());
    }
}
