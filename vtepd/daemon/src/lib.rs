//! The vtepd daemon: configuration, devices, control thread.
