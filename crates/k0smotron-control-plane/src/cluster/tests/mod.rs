//! Plans: given this observation, what next.

mod golden;
mod model;
mod plans;
mod told;
mod world;
