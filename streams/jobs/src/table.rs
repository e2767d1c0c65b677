//! What the table of job types in `types.rs` is turned into.

/// Defines [`JobParameters`](crate::JobParameters) and [`TYPES`](crate::TYPES) from one entry per type of
/// job.
macro_rules! job_types {
    ($($variant:ident {
        name: $name:literal,
        queue: $queue:literal,
        parameters: $parameters:ty,
        result: $result:ty,
        summary: $summary:literal,
    })*) => {
        /// Every type.
        pub static TYPES: [JobType; [$($name),*].len()] = [$(JobType {
            name: $name,
            queue: $queue,
            summary: $summary,
            parameters: standalone::<$parameters>,
            result: standalone::<$result>,
        }),*];

        /// The parameters of a job, of any type. Serialized, they do not tell the type.
        #[derive(Clone, PartialEq, Debug, Serialize)]
        #[serde(untagged)]
        pub enum JobParameters {
            $($variant($parameters)),*
        }

        impl JobParameters {
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name),*
                }
            }

            /// The queue of a request that names none.
            pub fn queue(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $queue),*
                }
            }

            /// Reads parameters of a request; `None` when there is no such type.
            fn of_fields(job_type: &str, fields: &mut Fields<'_>) -> Option<Self> {
                match job_type {
                    $($name => Some(Self::$variant(<$parameters>::read(fields))),)*
                    _ => None,
                }
            }

            /// Reads stored parameters; `None` when there is no such type.
            fn of_stored(job_type: &str, parameters: Value) -> Option<serde_json::Result<Self>> {
                match job_type {
                    $($name => Some(serde_json::from_value(parameters).map(Self::$variant)),)*
                    _ => None,
                }
            }

            fn remove_spelling(&mut self) {
                match self {
                    $(Self::$variant(parameters) => parameters.remove_spelling()),*
                }
            }
        }
    };
}
