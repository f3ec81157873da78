//! Stories of a hosted control plane on a real API server, with the real StatefulSet controller. Nobody runs the
//! pods: a task of the test says of each that it is Ready.

mod etcds;
mod members;
mod stage;
mod stories;
