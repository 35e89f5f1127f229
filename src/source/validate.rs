//! Checks a resource as the API server would: by the CRD's schema and its CEL rules.
//!
//! Needed by the folder source, which has no API server. The rules are built once from the CRDs that
//! `centrex crds` prints, so both sources apply the same ones.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::resources::rules::Rules;
use crate::resources::schema::{Schema, SchemaError, Violation};
use crate::resources::{Kind, crd};

/// The rules of one kind.
#[derive(Debug)]
pub struct KindRules {
    /// The kind.
    pub name: Kind,
    /// Its `apiVersion`.
    pub api_version: &'static str,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
    schema: Schema,
    rules: Rules,
}

/// The rules of every kind Centrex reads.
#[derive(Debug)]
pub struct RulesByKind(BTreeMap<Kind, KindRules>);

static KINDS: LazyLock<Result<RulesByKind, SchemaError>> = LazyLock::new(RulesByKind::compile);

/// The rules of every kind, compiled on first use.
///
/// # Errors
/// When one of our CRDs uses a schema keyword that the checker does not support. A test rules this out.
pub fn kinds() -> Result<&'static RulesByKind, &'static SchemaError> {
    KINDS.as_ref()
}

impl RulesByKind {
    fn compile() -> Result<Self, SchemaError> {
        let mut kinds = BTreeMap::new();
        for definition in crd::all() {
            let found = &definition.spec.names.kind;
            let missing = || SchemaError::Missing(found.clone());
            let name = Kind::by_name(found).ok_or_else(missing)?;
            let published = crd::tidy(&definition).map_err(|_| missing())?;
            let schema = published.pointer("/spec/versions/0/schema/openAPIV3Schema").ok_or_else(missing)?;
            let kind = KindRules {
                name,
                api_version: crate::resources::API_VERSION,
                namespaced: definition.spec.scope == "Namespaced",
                schema: Schema::compile(schema)?,
                rules: Rules::compile(schema)?,
            };
            kinds.insert(name, kind);
        }
        for (name, namespaced, schema) in core_kinds() {
            let schema = Schema::compile(&schema)?;
            kinds.insert(
                name,
                KindRules { name, api_version: "v1", namespaced, schema, rules: Rules::default() },
            );
        }
        Ok(Self(kinds))
    }

    /// The rules of a kind by its name.
    pub fn get(&self, kind: &str) -> Option<&KindRules> {
        self.0.get(&Kind::by_name(kind)?)
    }

    /// The names of all kinds, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().map(|kind| kind.as_str())
    }
}

impl KindRules {
    /// All fields that violate the schema or, if none does, a CEL rule. `body` is the resource without
    /// `apiVersion`, `kind`, `metadata` and `status`.
    pub fn check(&self, body: &Value) -> Vec<Violation> {
        let found = self.schema.check(body);
        if found.is_empty() { self.rules.check(body, None) } else { found }
    }

    /// All fields that must not change from `old` as they did.
    pub fn check_update(&self, body: &Value, old: &Value) -> Vec<Violation> {
        self.rules.check(body, Some(old))
    }
}

/// Kubernetes' own kinds that Centrex reads: name, whether it is namespaced, schema. Unlisted fields are refused.
fn core_kinds() -> [(Kind, bool, Value); 3] {
    let any = json!({"x-kubernetes-preserve-unknown-fields": true});
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let flag = json!({"type": "boolean"});
    let namespace = json!({"type": "object", "properties": {"spec": any}});
    let secret = json!({"type": "object", "properties": {
        "data": texts, "stringData": texts, "type": {"type": "string"}, "immutable": flag
    }});
    let config_map = json!({"type": "object", "properties": {
        "data": texts, "binaryData": texts, "immutable": flag
    }});
    [(Kind::ConfigMap, true, config_map), (Kind::Namespace, false, namespace), (Kind::Secret, true, secret)]
}
