// Package joinapi is what a controller answers to controllers that want to join, and how it asks.
package joinapi

// CAAnswer of GET /v1beta1/ca; bytes are base64 in JSON.
type CAAnswer struct {
	Key   []byte `json:"key"`
	Cert  []byte `json:"cert"`
	SAKey []byte `json:"saKey"`
	SAPub []byte `json:"saPub"`
}

// EtcdRequest of POST /v1beta1/etcd/members.
type EtcdRequest struct {
	Node        string `json:"node"`
	PeerAddress string `json:"peerAddress"`
}

// EtcdAnswer to it.
type EtcdAnswer struct {
	CA             Pair     `json:"ca"`
	InitialCluster []string `json:"initialCluster"`
}

// Pair of PEM texts.
type Pair struct {
	Key  []byte `json:"key"`
	Cert []byte `json:"cert"`
}
