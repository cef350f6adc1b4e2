//! Learning: (network, source MAC) → where it was seen (RFC 7348, section 4.1).
//!
//! The worker notices what the FDB does not know and tells the control thread,
//! which alone writes the FDB and sets the limits.
//!
//! | file | side | what |
//! |---|---|---|
//! | `source` | worker | notices what is new, or false |
//! | `recent` | worker | tells each thing once a second only |
//! | [`learner`] | control | static wins, moves and numbers are limited, entries age |

pub mod learner;
mod recent;
mod source;

pub use learner::{Learner, LearnerCounters, NetworkLearning};
pub(crate) use recent::RecentlySeen;
pub(crate) use source::learn;
