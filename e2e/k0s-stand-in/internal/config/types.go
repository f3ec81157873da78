// Package config reads k0s.yaml as strictly as k0s does, and knows its defaults and rules.
package config

// ClusterConfig is the file and, without its node-local part, the object kube-system/k0s.
type ClusterConfig struct {
	APIVersion string         `json:"apiVersion,omitempty"`
	Kind       string         `json:"kind,omitempty"`
	Metadata   map[string]any `json:"metadata,omitempty"`
	Spec       *Spec          `json:"spec,omitempty"`
	Status     map[string]any `json:"status,omitempty"`
}

// Spec of a ClusterConfig.
type Spec struct {
	API               *API             `json:"api,omitempty"`
	ControllerManager *Component       `json:"controllerManager,omitempty"`
	Scheduler         *Component       `json:"scheduler,omitempty"`
	Storage           *Storage         `json:"storage,omitempty"`
	Network           *Network         `json:"network,omitempty"`
	WorkerProfiles    []WorkerProfile  `json:"workerProfiles,omitempty"`
	Telemetry         *Telemetry       `json:"telemetry,omitempty"`
	InstallConfig     *InstallConfig   `json:"installConfig,omitempty"`
	Images            *Images          `json:"images,omitempty"`
	Extensions        *Extensions      `json:"extensions,omitempty"`
	Konnectivity      *Konnectivity    `json:"konnectivity,omitempty"`
	FeatureGates      []FeatureGate    `json:"featureGates,omitempty"`
	Patches           []map[string]any `json:"patches,omitempty"`
	PodSecurityPolicy map[string]any   `json:"podSecurityPolicy,omitempty"` // tolerated
	Interval          string           `json:"interval,omitempty"`          // tolerated
}

// CA lifetimes.
type CA struct {
	ExpiresAfter            string `json:"expiresAfter,omitempty"`
	CertificatesExpireAfter string `json:"certificatesExpireAfter,omitempty"`
}

// API is spec.api.
type API struct {
	Address           string            `json:"address,omitempty"`
	ExternalAddress   string            `json:"externalAddress,omitempty"`
	Port              int               `json:"port,omitempty"`
	K0sAPIPort        int               `json:"k0sApiPort,omitempty"`
	SANs              []string          `json:"sans,omitempty"`
	OnlyBindToAddress bool              `json:"onlyBindToAddress,omitempty"`
	ExtraArgs         map[string]string `json:"extraArgs,omitempty"`
	RawArgs           []string          `json:"rawArgs,omitempty"`
	CA                *CA               `json:"ca,omitempty"`
}

// Component is spec.controllerManager and spec.scheduler.
type Component struct {
	ExtraArgs map[string]string `json:"extraArgs,omitempty"`
	RawArgs   []string          `json:"rawArgs,omitempty"`
}

// Storage is spec.storage.
type Storage struct {
	Type string `json:"type,omitempty"`
	Etcd *Etcd  `json:"etcd,omitempty"`
	Kine *Kine  `json:"kine,omitempty"`
}

// Etcd is spec.storage.etcd.
type Etcd struct {
	PeerAddress     string            `json:"peerAddress,omitempty"`
	ExtraArgs       map[string]string `json:"extraArgs,omitempty"`
	RawArgs         []string          `json:"rawArgs,omitempty"`
	CA              *CA               `json:"ca,omitempty"`
	ExternalCluster *ExternalCluster  `json:"externalCluster,omitempty"`
}

// ExternalCluster is an etcd that k0s does not run.
type ExternalCluster struct {
	Endpoints      []string `json:"endpoints"`
	EtcdPrefix     string   `json:"etcdPrefix"`
	CAFile         string   `json:"caFile,omitempty"`
	ClientCertFile string   `json:"clientCertFile,omitempty"`
	ClientKeyFile  string   `json:"clientKeyFile,omitempty"`
}

// Kine is spec.storage.kine.
type Kine struct {
	DataSource string            `json:"dataSource,omitempty"`
	ExtraArgs  map[string]string `json:"extraArgs,omitempty"`
	RawArgs    []string          `json:"rawArgs,omitempty"`
}

// Network is spec.network.
type Network struct {
	Provider                  string         `json:"provider,omitempty"`
	PodCIDR                   string         `json:"podCIDR,omitempty"`
	ServiceCIDR               string         `json:"serviceCIDR,omitempty"`
	ClusterDomain             string         `json:"clusterDomain,omitempty"`
	PrimaryAddressFamily      string         `json:"primaryAddressFamily,omitempty"`
	DualStack                 *DualStack     `json:"dualStack,omitempty"`
	KubeProxy                 *KubeProxy     `json:"kubeProxy,omitempty"`
	KubeRouter                *KubeRouter    `json:"kuberouter,omitempty"`
	Calico                    *Calico        `json:"calico,omitempty"`
	CoreDNS                   map[string]any `json:"coreDNS,omitempty"`
	NodeLocalLoadBalancing    *NLLB          `json:"nodeLocalLoadBalancing,omitempty"`
	ControlPlaneLoadBalancing *CPLB          `json:"controlPlaneLoadBalancing,omitempty"`
}

// DualStack is spec.network.dualStack.
type DualStack struct {
	Enabled         bool   `json:"enabled,omitempty"`
	IPv6PodCIDR     string `json:"IPv6podCIDR,omitempty"`
	IPv6ServiceCIDR string `json:"IPv6serviceCIDR,omitempty"`
}

// KubeProxy is spec.network.kubeProxy.
type KubeProxy struct {
	Disabled           bool              `json:"disabled,omitempty"`
	Mode               string            `json:"mode,omitempty"`
	MetricsBindAddress string            `json:"metricsBindAddress,omitempty"`
	IPTables           *ProxyTables      `json:"iptables,omitempty"`
	NFTables           *ProxyTables      `json:"nftables,omitempty"`
	IPVS               *ProxyIPVS        `json:"ipvs,omitempty"`
	NodePortAddresses  []string          `json:"nodePortAddresses,omitempty"`
	ExtraArgs          map[string]string `json:"extraArgs,omitempty"`
	RawArgs            []string          `json:"rawArgs,omitempty"`
}

// ProxyTables are the options of two modes of kube-proxy.
type ProxyTables struct {
	MasqueradeBit      *int   `json:"masqueradeBit,omitempty"`
	MasqueradeAll      bool   `json:"masqueradeAll,omitempty"`
	LocalhostNodePorts *bool  `json:"localhostNodePorts,omitempty"`
	SyncPeriod         string `json:"syncPeriod,omitempty"`
	MinSyncPeriod      string `json:"minSyncPeriod,omitempty"`
}

// ProxyIPVS are the options of kube-proxy's ipvs mode.
type ProxyIPVS struct {
	SyncPeriod    string   `json:"syncPeriod,omitempty"`
	MinSyncPeriod string   `json:"minSyncPeriod,omitempty"`
	Scheduler     string   `json:"scheduler,omitempty"`
	ExcludeCIDRs  []string `json:"excludeCIDRs,omitempty"`
	StrictARP     bool     `json:"strictARP,omitempty"`
	TCPTimeout    string   `json:"tcpTimeout,omitempty"`
	TCPFinTimeout string   `json:"tcpFinTimeout,omitempty"`
	UDPTimeout    string   `json:"udpTimeout,omitempty"`
}

// KubeRouter is spec.network.kuberouter.
type KubeRouter struct {
	AutoMTU        *bool             `json:"autoMTU,omitempty"`
	MTU            int               `json:"mtu,omitempty"`
	MetricsPort    int               `json:"metricsPort,omitempty"`
	PeerRouterASNs string            `json:"peerRouterASNs,omitempty"`
	PeerRouterIPs  string            `json:"peerRouterIPs,omitempty"`
	Hairpin        string            `json:"hairpin,omitempty"`
	HairpinMode    bool              `json:"hairpinMode,omitempty"`
	IPMasq         bool              `json:"ipMasq,omitempty"`
	ExtraArgs      map[string]string `json:"extraArgs,omitempty"`
	RawArgs        []string          `json:"rawArgs,omitempty"`
}

// Calico is spec.network.calico.
type Calico struct {
	Mode                    string            `json:"mode,omitempty"`
	Overlay                 string            `json:"overlay,omitempty"`
	VxlanPort               int               `json:"vxlanPort,omitempty"`
	VxlanVNI                int               `json:"vxlanVNI,omitempty"`
	MTU                     int               `json:"mtu,omitempty"`
	EnableWireguard         bool              `json:"wireguard,omitempty"`
	FlexVolumeDriverPath    string            `json:"flexVolumeDriverPath,omitempty"`
	IPAutodetectionMethod   string            `json:"ipAutodetectionMethod,omitempty"`
	IPV6AutodetectionMethod string            `json:"ipV6AutodetectionMethod,omitempty"`
	EnvVars                 map[string]string `json:"envVars,omitempty"`
}

// NLLB is spec.network.nodeLocalLoadBalancing.
type NLLB struct {
	Enabled    bool       `json:"enabled,omitempty"`
	Type       string     `json:"type,omitempty"`
	EnvoyProxy *NLLBProxy `json:"envoyProxy,omitempty"`
	Traefik    *NLLBProxy `json:"traefik,omitempty"`
}

// NLLBProxy configures the proxy behind node-local load balancing.
type NLLBProxy struct {
	Image                      *Image `json:"image,omitempty"`
	ImagePullPolicy            string `json:"imagePullPolicy,omitempty"`
	APIServerBindPort          int    `json:"apiServerBindPort,omitempty"`
	KonnectivityServerBindPort int    `json:"konnectivityServerBindPort,omitempty"`
}

// CPLB is spec.network.controlPlaneLoadBalancing.
type CPLB struct {
	Enabled    bool        `json:"enabled,omitempty"`
	Type       string      `json:"type,omitempty"`
	Keepalived *Keepalived `json:"keepalived,omitempty"`
}

// Keepalived configures control-plane load balancing.
type Keepalived struct {
	VRRPInstances          []VRRPInstance   `json:"vrrpInstances,omitempty"`
	VirtualServers         []map[string]any `json:"virtualServers,omitempty"`
	UserSpaceProxyBindPort int              `json:"userSpaceProxyBindPort,omitempty"`
	DisableLoadBalancer    bool             `json:"disableLoadBalancer,omitempty"`
	ConfigTemplateVRRP     string           `json:"configTemplateVRRP,omitempty"`
	ConfigTemplateVS       string           `json:"configTemplateVS,omitempty"`
}

// VRRPInstance of Keepalived.
type VRRPInstance struct {
	VirtualIPs      []string `json:"virtualIPs,omitempty"`
	Interface       string   `json:"interface,omitempty"`
	VirtualRouterID *int     `json:"virtualRouterID,omitempty"`
	AdvertInterval  *int     `json:"advertIntervalSeconds,omitempty"`
	AuthPass        string   `json:"authPass,omitempty"`
	UnicastPeers    []string `json:"unicastPeers,omitempty"`
	UnicastSourceIP string   `json:"unicastSourceIP,omitempty"`
	AddressLabel    *int     `json:"addressLabel,omitempty"`
}

// WorkerProfile is a named partial KubeletConfiguration.
type WorkerProfile struct {
	Name   string         `json:"name"`
	Values map[string]any `json:"values,omitempty"`
}

// Telemetry is spec.telemetry.
type Telemetry struct {
	Enabled *bool `json:"enabled,omitempty"`
}

// InstallConfig is spec.installConfig.
type InstallConfig struct {
	Users *Users `json:"users,omitempty"`
}

// Users run the components.
type Users struct {
	EtcdUser          string `json:"etcdUser,omitempty"`
	KineUser          string `json:"kineUser,omitempty"`
	KonnectivityUser  string `json:"konnectivityUser,omitempty"`
	KubeAPIserverUser string `json:"kubeAPIserverUser,omitempty"`
	KubeSchedulerUser string `json:"kubeSchedulerUser,omitempty"`
}

// Image names a container image.
type Image struct {
	Image   string `json:"image,omitempty"`
	Version string `json:"version,omitempty"`
}

// Images is spec.images.
type Images struct {
	Konnectivity      *Image            `json:"konnectivity,omitempty"`
	PushGateway       *Image            `json:"pushgateway,omitempty"`
	MetricsServer     *Image            `json:"metricsserver,omitempty"`
	KubeProxy         *Image            `json:"kubeproxy,omitempty"`
	CoreDNS           *Image            `json:"coredns,omitempty"`
	Pause             *Image            `json:"pause,omitempty"`
	Calico            map[string]*Image `json:"calico,omitempty"`
	KubeRouter        map[string]*Image `json:"kuberouter,omitempty"`
	Windows           map[string]*Image `json:"windows,omitempty"`
	Repository        string            `json:"repository,omitempty"`
	DefaultPullPolicy string            `json:"default_pull_policy,omitempty"`
}

// Extensions is spec.extensions.
type Extensions struct {
	Storage *ExtensionStorage `json:"storage,omitempty"`
	Helm    *Helm             `json:"helm,omitempty"`
}

// ExtensionStorage is read and ignored since 1.31.
type ExtensionStorage struct {
	Type                      string `json:"type,omitempty"`
	CreateDefaultStorageClass bool   `json:"create_default_storage_class,omitempty"`
}

// Helm is read, the stand-in installs no chart.
type Helm struct {
	ConcurrencyLevel int              `json:"concurrencyLevel,omitempty"`
	Repositories     []HelmRepository `json:"repositories,omitempty"`
	Charts           []HelmChart      `json:"charts,omitempty"`
}

// HelmRepository of an extension.
type HelmRepository struct {
	Name     string `json:"name"`
	URL      string `json:"url"`
	CAFile   string `json:"caFile,omitempty"`
	CertFile string `json:"certFile,omitempty"`
	KeyFile  string `json:"keyfile,omitempty"`
	Insecure *bool  `json:"insecure,omitempty"`
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
}

// HelmChart of an extension.
type HelmChart struct {
	Name         string `json:"name"`
	ChartName    string `json:"chartname"`
	Version      string `json:"version,omitempty"`
	Values       string `json:"values,omitempty"`
	TargetNS     string `json:"namespace"`
	Timeout      string `json:"timeout,omitempty"`
	Order        int    `json:"order,omitempty"`
	ForceUpgrade *bool  `json:"forceUpgrade,omitempty"`
}

// Konnectivity is spec.konnectivity.
type Konnectivity struct {
	AgentPort       int    `json:"agentPort,omitempty"`
	AdminPort       int    `json:"adminPort,omitempty"`
	ExternalAddress string `json:"externalAddress,omitempty"`
}

// FeatureGate of Kubernetes, for some or all components.
type FeatureGate struct {
	Name       string   `json:"name"`
	Enabled    *bool    `json:"enabled,omitempty"`
	Components []string `json:"components,omitempty"`
}
