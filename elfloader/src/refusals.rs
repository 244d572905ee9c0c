//! How a table of refusals is written: one row for meaning, code, offenders and words.
//!
//! A macro, because an enum, its codes and its words in three places drift apart.

macro_rules! refusals {
    ($(#[doc = $doc:literal])+ $name:ident $(, $inherited:ident($inner:ty): $inherited_doc:literal)?;
     $($(#[doc = $variant_doc:literal])+ $code:literal $variant:ident
        $({ $($field:ident: $type:ty = $field_doc:literal),+ $(,)? })?
        => $text:literal;)+) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = $inherited_doc] $inherited($inner),)?
            $($(#[doc = $variant_doc])+ $variant $({ $(#[doc = $field_doc] $field: $type),+ })?,)+
        }

        impl $name {
            /// The stable number of the error: printed as `E` and four decimal digits.
            pub const fn code(&self) -> u16 {
                match self {
                    $(Self::$inherited(inner) => inner.code(),)?
                    $(Self::$variant $({ $($field: _),+ })? => $code,)+
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self {
                    $(Self::$inherited(inner) => core::fmt::Display::fmt(inner, f),)?
                    $(Self::$variant $({ $($field),+ })? => write!(f, $text),)+
                }
            }
        }

        impl core::error::Error for $name {}
    };
}
pub(crate) use refusals;
