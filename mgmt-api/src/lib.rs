//! The management plane: desired state, REST, metrics and the vtepctl client.
