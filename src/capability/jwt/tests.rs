//! Key sets from the outside: tokens in, claims or refusals out.

mod attacks;
mod forge;
mod life;
mod verify;
mod wording;
