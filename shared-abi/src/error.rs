//! How errors are declared: one row for code, name, numbers, words and what to do.
//!
//! [`errors!`](crate::errors) makes of each row a variant with its stable code and its line of words, and an entry
//! of the type's [`CATALOG`](Explained::CATALOG): what `docs/errors.md`, `handoff explain` and the tests of codes
//! are made of. Each crate lists its catalogs in its own `error::ERRORS`; a type that is not listed there does not
//! compile. What a stage that cannot spare the room does not ask for (the catalog, the help) is not linked into it.

use core::fmt;

/// The catalogs of this crate's errors.
pub const ERRORS: &[&[ErrorDoc]] = &[
    crate::image::HeaderError::CATALOG,
    crate::image::PayloadError::CATALOG,
    crate::note::NoteError::CATALOG,
    crate::boot_info::BootInfoError::CATALOG,
    crate::boot_info::WriteError::CATALOG,
    crate::page_table::TableError::CATALOG,
];

/// An error with a stable code, printed as `E` and four decimal digits, and with a line that says what to do.
pub trait Explained: core::error::Error {
    /// The type's own codes in ascending order, without those of errors that it passes on.
    const CATALOG: &'static [ErrorDoc];

    /// The stable code.
    fn code(&self) -> u16;

    /// The variant's name, or that of the rule that was broken.
    fn name(&self) -> &'static str;

    /// Writes what to do about this error: one line without an end, with the error's own numbers where they help.
    fn write_help(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// What to do about this error, to be displayed.
    fn help(&self) -> Help<'_, Self> {
        Help(self)
    }
}

/// Displays what to do about an error.
#[derive(Clone, Copy, Debug)]
pub struct Help<'e, E: ?Sized>(&'e E);

impl<E: Explained + ?Sized> fmt::Display for Help<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write_help(f)
    }
}

impl fmt::Display for Help<'_, ErrorDoc> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0.write_help)(f)
    }
}

/// What is known of a code without an error that has it.
#[derive(Clone, Copy, Debug)]
pub struct ErrorDoc {
    /// The code.
    pub code: u16,
    /// The last code of the row: `code` itself but for a row whose codes count something.
    pub last: u16,
    /// The variant's name, or that of the rule that was broken.
    pub name: &'static str,
    /// The name of the error's type.
    pub of: &'static str,
    /// Who finds such errors, and when.
    pub found_by: &'static str,
    /// What is wrong, in sentences; each line begins with a space.
    pub meaning: &'static str,
    /// Name and meaning of the values that the error carries.
    pub values: &'static [(&'static str, &'static str)],
    /// Writes what to do.
    pub write_help: fn(&mut fmt::Formatter<'_>) -> fmt::Result,
}

impl ErrorDoc {
    /// What to do, to be displayed.
    pub const fn help(&self) -> Help<'_, Self> {
        Help(self)
    }

    /// Whether the row is that of `code`.
    pub const fn explains(&self, code: u16) -> bool {
        self.code <= code && code <= self.last
    }
}

/// Stops the build if `catalog` is not among the `listed` ones or its codes do not ascend; [`errors!`](crate::errors)
/// calls it.
pub const fn assert_listed(catalog: &[ErrorDoc], listed: &[&[ErrorDoc]]) {
    let Some(first) = catalog.first() else { return };
    let mut row = 1;
    while row < catalog.len() {
        assert!(catalog[row - 1].last < catalog[row].code, "the codes of an error type do not ascend");
        row += 1;
    }
    let mut other = 0;
    while other < listed.len() {
        if !listed[other].is_empty() && listed[other][0].code == first.code {
            return;
        }
        other += 1;
    }
    panic!("an error type is missing in its crate's `error::ERRORS`");
}

/// Declares an error type, a row an error.
///
/// ```text
/// errors! {
///     /// Why …                                      documentation of the type
///     pub enum PlanError, found by "the loader …";
///
///     use Relocation(RelocationError): "…";          errors passed on, with code, words and help of their own
///
///     /// A segment …                                what is wrong, in sentences
///     203 OutsideWindow { start: u64 = "…" }         code, variant, values with their meanings
///         => "segment at {start:#x} …";              the words: a format string, arguments may follow
///         help "link it …";                          what to do, in general: may name constants
///         here "move it up by {}", 8 - start;        what to do, with this error's values; may be absent
/// }
/// ```
///
/// A literal after the code is the name of the rule that was broken, printed before the words. `620 (+ index) ..= 649`
/// in the place of a code makes that of the error depend on its values.
#[macro_export]
#[allow(clippy::crate_in_macro_def, reason = "the list is that of the crate that declares the error")]
macro_rules! errors {
    // What is given, or something else.
    (@or [] $otherwise:expr) => { $otherwise };
    (@or [$given:literal] $otherwise:expr) => { $given };
    (@from $generics:tt $name:ident: $($inherited:ident($inner:ty))*) => {
        $($crate::errors!(@from_one $generics $name: $inherited($inner));)*
    };
    (@from_one ($($generics:tt)*) $name:ident: $inherited:ident($inner:ty)) => {
        impl $($generics)* From<$inner> for $name $($generics)* {
            fn from(error: $inner) -> Self {
                Self::$inherited(error)
            }
        }
    };
    (@write $f:ident [] $($otherwise:tt)+) => { write!($f, $($otherwise)+) };
    (@write $f:ident [$($given:tt)+] $($otherwise:tt)+) => { write!($f, $($given)+) };

    ($(#[doc = $doc:literal])+ $visibility:vis enum $name:ident $(<$lifetime:lifetime>)?, found by $found_by:literal;
     $(use $inherited:ident($inner:ty): $inherited_doc:literal;)*
     $($(#[doc = $meaning:literal])+ $code:literal $((+ $more:expr) ..= $last:literal)? $($rule:literal)? $variant:ident
        $({ $($field:ident: $type:ty = $field_doc:literal),+ $(,)? })?
        => $text:literal $(, $argument:expr)*;
        help $help:literal;
        $(here $here:literal $(, $here_argument:expr)*;)?
    )*) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $name $(<$lifetime>)? {
            $(#[doc = $inherited_doc] $inherited($inner),)*
            $($(#[doc = $meaning])+ $variant $({ $(#[doc = $field_doc] $field: $type),+ })?,)*
        }

        impl $(<$lifetime>)? $name $(<$lifetime>)? {
            /// The stable code: printed as `E` and four decimal digits.
            #[allow(unused_variables)]
            pub const fn code(&self) -> u16 {
                match self {
                    $(Self::$inherited(inner) => inner.code(),)*
                    $(Self::$variant $({ $($field),+ })? => $code $(+ $more)?,)*
                }
            }
        }

        impl $(<$lifetime>)? core::fmt::Display for $name $(<$lifetime>)? {
            #[allow(unused_variables)]
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self {
                    $(Self::$inherited(inner) => core::fmt::Display::fmt(inner, f),)*
                    $(Self::$variant $({ $($field),+ })? => {
                        $(f.write_str(concat!($rule, ": "))?;)?
                        write!(f, $text $(, $argument)*)
                    })*
                }
            }
        }

        impl $(<$lifetime>)? core::error::Error for $name $(<$lifetime>)? {}

        $crate::errors!(@from ($(<$lifetime>)?) $name: $($inherited($inner))*);

        impl $(<$lifetime>)? $crate::error::Explained for $name $(<$lifetime>)? {
            const CATALOG: &'static [$crate::error::ErrorDoc] = &[$($crate::error::ErrorDoc {
                code: $code,
                last: $crate::errors!(@or [$($last)?] $code),
                name: $crate::errors!(@or [$($rule)?] stringify!($variant)),
                of: stringify!($name),
                found_by: $found_by,
                meaning: concat!($($meaning),+),
                values: &[$($((stringify!($field), $field_doc)),+)?],
                write_help: |f| write!(f, $help),
            }),*];

            fn code(&self) -> u16 {
                self.code()
            }

            fn name(&self) -> &'static str {
                match self {
                    $(Self::$inherited(inner) => $crate::error::Explained::name(inner),)*
                    $(Self::$variant $({ $($field: _),+ })? => $crate::errors!(@or [$($rule)?] stringify!($variant)),)*
                }
            }

            #[allow(unused_variables)]
            fn write_help(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self {
                    $(Self::$inherited(inner) => $crate::error::Explained::write_help(inner, f),)*
                    $(Self::$variant $({ $($field),+ })? => {
                        $crate::errors!(@write f [$($here $(, $here_argument)*)?] $help)
                    })*
                }
            }
        }

        const _: () = $crate::error::assert_listed(
            <$name as $crate::error::Explained>::CATALOG,
            crate::error::ERRORS,
        );
    };
}
