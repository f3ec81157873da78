package kube

import "k8s.io/apimachinery/pkg/runtime"

type rtObject = runtime.Object
