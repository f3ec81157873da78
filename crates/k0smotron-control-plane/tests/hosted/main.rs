//! Stories of a hosted control plane on a real API server, with the real StatefulSet controller. Nobody runs the
//! pods: a task of the test says of each that it is Ready.

mod control_planes;
mod etcds;
mod lives;
mod members;
mod mortal;
mod picture;
mod pruning;
mod stage;
mod stories;
mod whole_lives;
mod witness;
