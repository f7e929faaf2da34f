//! How each entity is stored, read from its annotations: columns, indexes, references, what can be searched.

mod build;
mod column;
mod index;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use artel_proto::annotations;
use artel_util::Error;
use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor};
use tonic::Code;

pub(crate) use column::{Check, Column, Shape, Stamp};
pub(crate) use index::{Index, Reference};

/// The column that says whose row it is.
pub(crate) const WORKSPACE: &str = "workspace_id";
/// The column that full-text search looks at.
pub(crate) const SEARCH: &str = "search";

/// An annotation that no table can be made of.
#[derive(Debug, thiserror::Error)]
#[error("{entity}: {problem}")]
pub struct PlanError {
    /// The message.
    pub entity: String,
    /// What is wrong with it.
    pub problem: String,
}

/// The plans of all entities, and the names of all events.
#[derive(Debug)]
pub(crate) struct Plans {
    entities: BTreeMap<String, Arc<Entity>>,
    events: HashMap<String, Event>,
}

/// What is known of an event's message.
#[derive(Debug)]
pub(crate) struct Event {
    /// Its routing key.
    pub(crate) name: String,
    /// The field that holds the id of what it is about.
    pub(crate) key: FieldDescriptor,
    /// The only service that may tell it.
    pub(crate) publisher: String,
}

/// How an entity is stored.
#[derive(Debug)]
pub(crate) struct Entity {
    /// The full message name.
    pub(crate) name: String,
    pub(crate) table: String,
    /// Each row belongs to a workspace.
    pub(crate) scoped: bool,
    pub(crate) descriptor: MessageDescriptor,
    pub(crate) fields: Vec<Field>,
    /// The columns that come from fields, in the order of the fields.
    pub(crate) columns: Vec<Column>,
    /// The columns as a list, each of the table `t`.
    pub(crate) list: String,
    /// The column of the key.
    pub(crate) key: usize,
    /// The columns that `persist` fills in.
    pub(crate) version: usize,
    pub(crate) create_time: Option<usize>,
    pub(crate) update_time: Option<usize>,
    pub(crate) delete_time: Option<usize>,
    pub(crate) indexes: Vec<Index>,
    pub(crate) references: Vec<Reference>,
    /// The columns that can be searched and the weight of each: A to D.
    pub(crate) search: Vec<(usize, char)>,
}

/// A field of an entity and where it is kept.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) descriptor: FieldDescriptor,
    /// What the descriptor says of it, kept beside it: it is asked for with every row.
    pub(crate) number: u32,
    pub(crate) kind: prost_reflect::Kind,
    /// It is written even where it holds its default.
    pub(crate) has_presence: bool,
    /// A list or a map.
    pub(crate) is_repeated: bool,
    pub(crate) shape: Shape,
    /// Its first column; money has two.
    pub(crate) column: usize,
}

impl Plans {
    /// Plans every entity of the pool.
    pub(crate) fn of(pool: &DescriptorPool) -> Result<Self, PlanError> {
        let mut entities = BTreeMap::new();
        let mut events = HashMap::new();
        for message in pool.all_messages() {
            if let Some(options) = annotations::entity(&message) {
                let entity = build::entity(&message, &options)?;
                entities.insert(entity.name.clone(), Arc::new(entity));
            }
            if let Some(options) = annotations::event(&message) {
                let problem = || PlanError {
                    entity: message.full_name().to_owned(),
                    problem: format!("its key `{}` is no string field", options.key),
                };
                let key = message
                    .get_field_by_name(&options.key)
                    .filter(|field| field.kind() == prost_reflect::Kind::String && !field.is_list())
                    .ok_or_else(problem)?;
                let publisher = annotations::publisher(&message).to_owned();
                events.insert(message.full_name().to_owned(), Event { name: options.name, key, publisher });
            }
        }
        let plans = Self { entities, events };
        plans.check_references()?;
        Ok(plans)
    }

    /// The plan of an entity; INVALID_ARGUMENT naming the field where there is none of that name.
    pub(crate) fn entity(&self, name: &str, field: &str) -> Result<&Arc<Entity>, Error> {
        self.entities.get(name).ok_or_else(|| {
            let known = self.entities.keys().cloned().collect::<Vec<_>>().join(", ");
            Error::invalid(field, format!("`{name}` is no entity; there are: {known}"))
        })
    }

    /// What is known of an event.
    pub(crate) fn event(&self, name: &str) -> Option<&Event> {
        self.events.get(name)
    }

    /// The names of all events, sorted.
    pub(crate) fn event_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.events.values().map(|event| event.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// PERMISSION_DENIED where one of these events is another service's to tell: who hears `order.placed` may rely on
    /// `order` having placed it.
    pub(crate) fn may_tell(
        &self,
        service: &str,
        types: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<(), Error> {
        for name in types {
            let name = name.as_ref();
            let Some(event) = self.events.get(name).filter(|event| event.publisher != service) else {
                continue;
            };
            let message = format!(
                "`{}` is told by `{}` and by nobody else, not by `{service}`",
                event.name, event.publisher
            );
            return Err(
                Error::new(Code::PermissionDenied, "FOREIGN_EVENT", message).with("event", &event.name)
            );
        }
        Ok(())
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Entity>> {
        self.entities.values()
    }

    fn check_references(&self) -> Result<(), PlanError> {
        for entity in self.all() {
            for reference in &entity.references {
                let problem = |problem: String| PlanError { entity: entity.name.clone(), problem };
                let target = self.entities.get(&reference.entity).ok_or_else(|| {
                    problem(format!("references `{}`, which is no entity", reference.entity))
                })?;
                if target.scoped && !entity.scoped {
                    return Err(problem(format!("is global and cannot reference `{}`", target.name)));
                }
            }
        }
        Ok(())
    }

    /// The table a reference points to.
    pub(crate) fn target(&self, reference: &Reference) -> &Entity {
        // Checked when the plans were made.
        &self.entities[&reference.entity]
    }

    /// True where rows of some table point to the entity.
    pub(crate) fn is_referenced(&self, entity: &Entity) -> bool {
        self.all().any(|other| other.references.iter().any(|to| to.entity == entity.name))
    }
}

impl Entity {
    /// The column of a path such as `price.amount_minor`.
    pub(crate) fn column(&self, path: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.path == path)
    }

    /// The column of a path that may be filtered and sorted by; otherwise an error that lists those that may.
    pub(crate) fn queryable(&self, path: &str, field: &str) -> Result<usize, Error> {
        self.column(path).filter(|index| self.columns[*index].queryable).ok_or_else(|| {
            let allowed = self.columns.iter().filter(|column| column.queryable);
            self.refusal("FIELD_NOT_QUERYABLE", path, field, allowed)
        })
    }

    /// The column of a path that may be measured: a scalar that is no secret.
    pub(crate) fn measurable(&self, path: &str, field: &str) -> Result<usize, Error> {
        let fits = |column: &Column| column.is_scalar() && !column.secret;
        self.column(path).filter(|index| fits(&self.columns[*index])).ok_or_else(|| {
            let allowed = self.columns.iter().filter(|column| fits(column));
            self.refusal("FIELD_NOT_QUERYABLE", path, field, allowed)
        })
    }

    fn refusal<'a>(
        &self,
        reason: &str,
        path: &str,
        field: &str,
        allowed: impl Iterator<Item = &'a Column>,
    ) -> Error {
        let allowed = allowed.map(|column| column.path.as_str()).collect::<Vec<_>>().join(", ");
        let description = format!("`{path}` cannot be used here; {} allows: {allowed}", self.name);
        Error::new(Code::InvalidArgument, reason, format!("{field}: {description}"))
            .field(field, description)
            .with("entity", &self.name)
            .with("field", path)
            .with("allowed", allowed)
    }

    /// Whether a page of the rows with these columns given, in this order, is read without reading others.
    pub(crate) fn leads(&self, given: &[usize], order: &[(usize, bool)]) -> bool {
        let primary = Index { columns: vec![(self.key, false)], unique: true };
        given.contains(&self.key)
            || primary.leads(self, given, order)
            || self.indexes.iter().any(|index| index.leads(self, given, order))
    }

    /// The columns of a top-level field.
    pub(crate) fn columns_of(&self, field: &Field) -> std::ops::Range<usize> {
        field.column..field.column + field.shape.width()
    }

    /// What holds for each row that is seen: of the workspace in `$1`, and not deleted. Empty where all rows are.
    pub(crate) fn visible(&self, alias: &str) -> Vec<String> {
        let mut conditions = Vec::new();
        if self.scoped {
            conditions.push(format!("{alias}.{WORKSPACE} = $1"));
        }
        conditions.extend(self.present(alias));
        conditions
    }

    /// What holds for each row that is not deleted, of whatever workspace.
    pub(crate) fn present(&self, alias: &str) -> Vec<String> {
        let deleted = self.delete_time.map(|column| self.columns[column].of(alias));
        deleted.map(|deleted| format!("{deleted} IS NULL")).into_iter().collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn plans() -> Plans {
        Plans::of(annotations::pool()).unwrap()
    }

    #[test]
    fn a_product_becomes_a_table() {
        let plans = plans();
        let product = plans.entity("artel.catalog.v1.Product", "entity").unwrap();
        assert_eq!((product.table.as_str(), product.scoped), ("products", true));
        let column = |path: &str| {
            let column = &product.columns[product.column(path).unwrap()];
            (column.name.clone(), column.sql_type(), column.nullable, column.default())
        };
        let shape = |name: &str, sql_type: &str, nullable, default: Option<&str>| {
            (name.to_owned(), sql_type.to_owned(), nullable, default.map(str::to_owned))
        };
        assert_eq!(column("id"), shape("id", "uuid", false, None));
        assert_eq!(column("category_id"), shape("category_id", "uuid", true, None));
        assert_eq!(column("price.amount_minor"), shape("price_amount_minor", "bigint", true, None));
        assert_eq!(column("stock"), shape("stock", "integer", false, Some("0")));
        assert_eq!(column("pictures"), shape("pictures", "text[]", false, Some("'{}'::text[]")));
        assert_eq!(column("params"), shape("params", "jsonb", false, Some("'[]'::jsonb")));
        assert!(product.delete_time.is_some() && product.search.len() == 4);
    }

    #[test]
    fn a_field_that_cannot_be_queried_is_refused_with_those_that_can() {
        let plans = plans();
        let product = plans.entity("artel.catalog.v1.Product", "entity").unwrap();
        let error = product.queryable("description", "where").unwrap_err();
        assert_eq!(error.reason(), "FIELD_NOT_QUERYABLE");
        let allowed = error.get("allowed").unwrap();
        assert!(allowed.contains("price.amount_minor") && !allowed.contains("description"), "{allowed}");
    }

    #[test]
    fn an_index_leads_to_a_page_where_it_holds_all_that_is_given_and_then_the_order() {
        let plans = plans();
        let order = plans.entity("artel.order.v1.Order", "entity").unwrap();
        let leads = |given: &[&str], by: &[(&str, bool)]| {
            let column = |path: &str| order.column(path).unwrap();
            let given: Vec<usize> = given.iter().map(|path| column(path)).collect();
            let by: Vec<_> = by.iter().map(|(path, descending)| (column(path), *descending)).collect();
            order.leads(&given, &by)
        };
        let newest = [("create_time", true), ("id", true)];
        let oldest = [("create_time", false), ("id", false)];
        assert!(leads(&["user_id"], &newest) && leads(&["user_id"], &oldest) && leads(&[], &newest));
        assert!(!leads(&["user_id"], &[("create_time", true), ("id", false)]));
        // The status is not in the index that has the user and the time: many may be read before one fits.
        assert!(!leads(&["user_id", "status"], &newest));
        assert!(leads(&["status"], &[("status", true), ("id", false)]) && !leads(&["status"], &newest));
        assert!(leads(&["number"], &newest) && leads(&["id", "status"], &newest));
        assert!(leads(&[], &[("id", true)]) && leads(&[], &[("number", false)]));
        assert!(leads(&[], &[("number", false), ("id", false)]) && !leads(&[], &[("total.currency", false)]));
    }

    #[test]
    fn an_event_is_its_own_services_to_tell() {
        let plans = plans();
        let placed = ["artel.order.v1.OrderPlaced"];
        assert!(plans.may_tell("order", placed).is_ok() && plans.may_tell("notify", [""; 0]).is_ok());
        let error = plans.may_tell("notify", placed).unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::PermissionDenied, "FOREIGN_EVENT"));
        assert!(plans.may_tell("", placed).is_err());
    }
}
