//! The generated objects, each built by a pure function (hosted.md 3). They have the form in which the API server
//! stores them, so that what is settled is recognised without a request.

pub mod config;
pub mod control_plane;
pub mod etcd;
pub mod manifests;
pub mod secrets;
pub mod service;
