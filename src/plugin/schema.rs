//! The JSON Schema of a plugin's configuration, where the component carries one.

use jsonschema::Validator;
use serde_json::Value;
use wasmparser::{Parser, Payload};

/// The custom section that holds it, in the component or in a module of it.
const SECTION: &str = "cloudcup:config-schema";
/// Problems that are shown of one configuration.
const MOST_MISFITS: usize = 20;

/// A place in a configuration that does not fit the plugin's schema.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfit {
    /// JSON pointer within the configuration.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

/// A plugin's schema.
#[derive(Debug)]
pub(super) struct ConfigSchema {
    pub json: Value,
    validator: Validator,
}

impl ConfigSchema {
    /// That of a component; none where it has none.
    pub fn of(component: &[u8]) -> Result<Option<Self>, String> {
        let sections = Parser::new(0).parse_all(component).filter_map(|payload| match payload {
            Ok(Payload::CustomSection(section)) if section.name() == SECTION => Some(section.data()),
            _ => None,
        });
        let Some(text) = sections.last() else { return Ok(None) };
        let json: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let validator = jsonschema::validator_for(&json).map_err(|error| error.to_string())?;
        Ok(Some(Self { json, validator }))
    }

    /// Where a configuration does not fit. One that is absent counts as an empty object.
    pub fn misfits(&self, config: &Value) -> Vec<Misfit> {
        let empty = Value::Object(serde_json::Map::new());
        let config = if config.is_null() { &empty } else { config };
        let errors = self.validator.iter_errors(config).take(MOST_MISFITS);
        let misfit = |error: jsonschema::ValidationError<'_>| Misfit {
            pointer: error.instance_path().to_string(),
            message: error.to_string(),
        };
        errors.map(misfit).collect()
    }
}
