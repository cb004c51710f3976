//! The names of the steps of one kind of run: an enum, so that whoever handles steps one by one is told by the
//! compiler when there is one more.

use std::fmt;

/// The name of a step.
pub trait StepName: Copy + Eq + fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// As the journal has it.
    fn as_str(self) -> &'static str;
}

/// Declares the steps of one kind of run, in order: the enum, `ALL`, and the names that the journal has.
///
/// ```
/// remount_saga::step_names! {
///     /// The steps of a walk.
///     pub enum WalkStep {
///         /// Shoes first.
///         TieShoes = "tie_shoes",
///         /// Then go.
///         Go = "go",
///     }
/// }
/// assert_eq!(WalkStep::ALL.len(), 2);
/// assert_eq!("go".parse(), Ok(WalkStep::Go));
/// ```
#[macro_export]
macro_rules! step_names {
    ($(#[$doc:meta])* $visibility:vis enum $name:ident { $($(#[$step_doc:meta])* $step:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility enum $name {
            $($(#[$step_doc])* $step,)+
        }

        impl $name {
            /// All of them, in order.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$step),+];

            /// As the journal has it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$step => $text,)+
                }
            }
        }

        impl $crate::StepName for $name {
            fn as_str(self) -> &'static str {
                Self::as_str(self)
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = ::std::string::String;

            fn from_str(text: &str) -> ::std::result::Result<Self, ::std::string::String> {
                Self::ALL.into_iter().find(|step| step.as_str() == text).ok_or_else(|| {
                    ::std::format!("there is no step `{text}`; the steps are {}", [$($text),+].join(", "))
                })
            }
        }
    };
}
