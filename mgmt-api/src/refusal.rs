//! Why a request was refused: one type from the field check to the control plane's "table full".

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The stable word for a kind of refusal, to be matched by programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The body is not JSON.
    MalformedJson,
    /// A value is missing, of the wrong type, or out of its range.
    Invalid,
    /// Two resources, or two fields of one, contradict each other.
    Conflict,
    /// A reference to a resource that does not exist.
    UnknownReference,
    /// The resource is still referred to by another and cannot go.
    InUse,
    /// A web page of another site made a browser ask.
    Forbidden,
    /// No such resource.
    NotFound,
    /// No such path.
    UnknownPath,
    /// The path exists, the method does not apply to it.
    MethodNotAllowed,
    /// The body's media type is not JSON.
    UnsupportedMediaType,
    /// The body exceeds the configured limit.
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTimeout,
    /// A forwarding table has no room for what was asked.
    TableFull,
    /// A device refused an operation (MTU, multicast membership, queue set-up).
    DeviceFailed,
    /// The store has no room: nothing was changed.
    DiskFull,
    /// The store failed: nothing was changed.
    StoreFailed,
    /// The server is stopping and takes no more writes.
    ShuttingDown,
    /// The workers, or what steers them, do not run.
    Unhealthy,
    /// A fault of the software.
    Internal,
}

impl Code {
    /// Every code, for documents and tests.
    pub const ALL: [Self; 19] = [
        Self::MalformedJson,
        Self::Invalid,
        Self::Conflict,
        Self::UnknownReference,
        Self::InUse,
        Self::Forbidden,
        Self::NotFound,
        Self::UnknownPath,
        Self::MethodNotAllowed,
        Self::UnsupportedMediaType,
        Self::BodyTooLarge,
        Self::BodyTimeout,
        Self::TableFull,
        Self::DeviceFailed,
        Self::DiskFull,
        Self::StoreFailed,
        Self::ShuttingDown,
        Self::Unhealthy,
        Self::Internal,
    ];

    /// The code as it stands in a problem document.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed-json",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::UnknownReference => "unknown-reference",
            Self::InUse => "in-use",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::UnknownPath => "unknown-path",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::BodyTooLarge => "body-too-large",
            Self::BodyTimeout => "body-timeout",
            Self::TableFull => "table-full",
            Self::DeviceFailed => "device-failed",
            Self::DiskFull => "disk-full",
            Self::StoreFailed => "store-failed",
            Self::ShuttingDown => "shutting-down",
            Self::Unhealthy => "unhealthy",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status that goes with the code.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::MalformedJson => 400,
            Self::Invalid | Self::UnknownReference => 422,
            Self::Conflict | Self::InUse => 409,
            Self::Forbidden => 403,
            Self::NotFound | Self::UnknownPath => 404,
            Self::MethodNotAllowed => 405,
            Self::UnsupportedMediaType => 415,
            Self::BodyTooLarge => 413,
            Self::BodyTimeout => 408,
            Self::TableFull | Self::DiskFull => 507,
            Self::ShuttingDown | Self::Unhealthy => 503,
            Self::DeviceFailed | Self::StoreFailed | Self::Internal => 500,
        }
    }

    /// A short title, the same for every occurrence (RFC 9457 §3.1.3).
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::MalformedJson => "The body is not valid JSON",
            Self::Invalid => "A value is not valid",
            Self::Conflict => "Resources contradict each other",
            Self::UnknownReference => "A reference points to nothing",
            Self::InUse => "The resource is in use",
            Self::Forbidden => "Other sites may not ask",
            Self::NotFound => "No such resource",
            Self::UnknownPath => "No such path",
            Self::MethodNotAllowed => "The method does not apply to this path",
            Self::UnsupportedMediaType => "The body is not declared as JSON",
            Self::BodyTooLarge => "The body is too large",
            Self::BodyTimeout => "The body did not arrive in time",
            Self::TableFull => "A forwarding table is full",
            Self::DeviceFailed => "A device refused the change",
            Self::DiskFull => "The store has no room left",
            Self::StoreFailed => "The store failed",
            Self::ShuttingDown => "The server is stopping",
            Self::Unhealthy => "Packets are not forwarded as they should be",
            Self::Internal => "Internal error",
        }
    }
}

/// A request that was refused, and what its sender can do about it. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of refusal.
    pub code: Code,
    /// The resource at fault as `kind/id`, where one is.
    pub resource: Option<String>,
    /// The field at fault as a JSON pointer (RFC 6901) into that resource.
    pub field: Option<String>,
    /// A sentence: what is wrong, and the fix.
    pub message: String,
}

impl Refusal {
    /// A refusal that names neither resource nor field yet.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            resource: None,
            field: None,
            message: message.into(),
        }
    }

    /// An [`Code::Invalid`] value in `field`.
    pub(crate) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::Invalid, message).at(field)
    }

    /// A [`Code::Conflict`] in `field`.
    pub(crate) fn conflict(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::Conflict, message).at(field)
    }

    /// Names the field (a JSON pointer into the resource).
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Names the resource (`kind/id`).
    #[must_use]
    pub fn of(mut self, resource: impl Into<String>) -> Self {
        self.resource = Some(resource.into());
        self
    }

    /// Names the resource unless one is named already.
    pub(crate) fn or_of(self, resource: impl FnOnce() -> String) -> Self {
        if self.resource.is_some() {
            self
        } else {
            self.of(resource())
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(resource) = &self.resource {
            write!(f, "{resource}: ")?;
        }
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_written_the_same_everywhere() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
