//! What is run and read outside of us: the processes under test, their control
//! sockets, and what the kernel knows of the cores.

pub mod api;
pub mod cores;
pub mod generator;
pub mod huge_pages;
pub mod interrupt;
pub mod machine;
pub mod process;
pub mod telemetry;
pub mod testpmd;
pub mod vtepd;
