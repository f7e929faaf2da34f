//! A tree of conditions as SQL. Values are always parameters; names come from the plan.

use artel_proto::persist::{Comparison, Filter, Operator, filter::Node};
use artel_util::Error;
use tonic::Code;

use crate::database::Scope;
use crate::plan::{Column, Entity};
use crate::reads::begun;
use crate::sql::Statement;
use crate::value::{Array, Cell, Kind, to_cell};

/// How deep a filter may be.
const MOST_DEPTH: usize = 8;
/// How many comparisons it may hold.
const MOST_COMPARISONS: usize = 100;

/// A statement in the making: its parameters, those that every read begins with first.
#[derive(Debug, Clone)]
pub(super) struct Text {
    parameters: Statement,
    count: usize,
}

impl Text {
    pub(super) fn new(scope: Scope) -> Self {
        Self { parameters: begun(Statement::fixed(""), scope), count: 2 }
    }

    /// Adds a parameter and gives its name.
    pub(super) fn bind(&mut self, kind: Kind, cell: Cell) -> String {
        self.parameters.push(kind, cell);
        self.count += 1;
        format!("${}", self.count)
    }

    fn bind_array(&mut self, array: Array) -> String {
        self.parameters.push_array(array);
        self.count += 1;
        format!("${}", self.count)
    }

    pub(super) fn statement(self, text: &str) -> Statement {
        self.parameters.with_text(text)
    }
}

/// Conditions as a WHERE clause; empty where there are none.
pub(super) fn all(conditions: &[String]) -> String {
    if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
}

/// The columns that a filter gives a value to, where that is all it does.
pub(super) fn given(entity: &Entity, filter: Option<&Filter>) -> Option<Vec<usize>> {
    let mut columns = Vec::new();
    let mut rest: Vec<&Filter> = filter.into_iter().collect();
    while let Some(filter) = rest.pop() {
        match filter.node.as_ref()? {
            Node::All(filters) => rest.extend(&filters.filters),
            Node::Compare(comparison) if comparison.operator() == Operator::Equal => {
                let is_given = comparison.values.iter().all(|value| value.kind.is_some());
                columns.push(entity.column(&comparison.field).filter(|_| is_given)?);
            }
            _ => return None,
        }
    }
    columns.sort_unstable();
    columns.dedup();
    Some(columns)
}

/// A filter as a condition. RESOURCE_EXHAUSTED or INVALID_ARGUMENT names what is too much or wrong.
pub(super) fn condition(entity: &Entity, filter: &Filter, text: &mut Text) -> Result<String, Error> {
    let mut walk = Walk { entity, text, comparisons: 0 };
    walk.node(filter, "where", 1)
}

struct Walk<'a> {
    entity: &'a Entity,
    text: &'a mut Text,
    comparisons: usize,
}

fn limit(at: &str, name: &str, most: usize) -> Error {
    let text = format!("the filter may have at most {most} {name}");
    Error::new(Code::InvalidArgument, "FILTER_TOO_LARGE", format!("{at}: {text}"))
        .field(at, text)
        .with("limit", most)
}

impl Walk<'_> {
    fn node(&mut self, filter: &Filter, at: &str, depth: usize) -> Result<String, Error> {
        if depth > MOST_DEPTH {
            return Err(limit(at, "levels", MOST_DEPTH));
        }
        match &filter.node {
            None => Err(Error::invalid(at, "says no condition")),
            Some(Node::All(filters)) => {
                self.several(&filters.filters, &format!("{at}.all"), depth, " AND ", "true")
            }
            Some(Node::Any(filters)) => {
                self.several(&filters.filters, &format!("{at}.any"), depth, " OR ", "false")
            }
            // What is neither true nor false (a comparison with NULL) does not hold, so its opposite does.
            Some(Node::Not(inner)) => {
                let inner = self.node(inner, &format!("{at}.not"), depth + 1)?;
                Ok(format!("({inner}) IS NOT TRUE"))
            }
            Some(Node::Compare(comparison)) => {
                self.comparisons += 1;
                if self.comparisons > MOST_COMPARISONS {
                    return Err(limit(at, "comparisons", MOST_COMPARISONS));
                }
                self.compare(comparison, &format!("{at}.compare"))
            }
        }
    }

    fn several(
        &mut self,
        filters: &[Filter],
        at: &str,
        depth: usize,
        between: &str,
        empty: &str,
    ) -> Result<String, Error> {
        let parts = filters.iter().enumerate();
        let parts = parts
            .map(|(index, filter)| self.node(filter, &format!("{at}.filters[{index}]"), depth + 1))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(if parts.is_empty() { empty.to_owned() } else { format!("({})", parts.join(between)) })
    }

    fn compare(&mut self, comparison: &Comparison, at: &str) -> Result<String, Error> {
        let index = self.entity.queryable(&comparison.field, &format!("{at}.field"))?;
        let column = &self.entity.columns[index];
        let name = column.of("t");
        let values = format!("{at}.values");
        let operator = comparison.operator();
        if column.is_list != (operator == Operator::Contains) && operator != Operator::IsNull {
            let fits =
                if column.is_list { "OPERATOR_CONTAINS or OPERATOR_IS_NULL" } else { "another operator" };
            return Err(Error::invalid(format!("{at}.operator"), format!("`{}` takes {fits}", column.path)));
        }
        if operator == Operator::IsNull {
            return if comparison.values.is_empty() {
                Ok(absent(column))
            } else {
                Err(Error::invalid(values, "OPERATOR_IS_NULL takes no value"))
            };
        }
        let mut cells = comparison.values.iter().enumerate().map(|(index, value)| {
            to_cell(column, value).map_err(|wrong| Error::invalid(format!("{values}[{index}]"), wrong))
        });
        if operator == Operator::In {
            let mut array = Array::new(column.kind);
            for cell in cells {
                array.push(cell?.as_deref());
            }
            let array = self.text.bind_array(array);
            return Ok(format!("{name} = ANY({array})"));
        }
        let (Some(cell), None) = (cells.next(), cells.next()) else {
            return Err(Error::invalid(values, "this operator takes exactly one value"));
        };
        let Some(cell) = cell? else {
            return match operator {
                Operator::Equal => Ok(absent(column)),
                Operator::NotEqual => Ok(format!("NOT ({})", absent(column))),
                _ => Err(Error::invalid(values, "nothing is less or greater than an absent value")),
            };
        };
        let value = self.text.bind(column.kind, Some(cell));
        Ok(match operator {
            Operator::Equal => format!("{name} = {value}"),
            Operator::NotEqual => format!("{name} IS DISTINCT FROM {value}"),
            Operator::Less => format!("{name} < {value}"),
            Operator::LessOrEqual => format!("{name} <= {value}"),
            Operator::Greater => format!("{name} > {value}"),
            Operator::GreaterOrEqual => format!("{name} >= {value}"),
            Operator::StartsWith if column.kind == Kind::Text => format!("{name} ^@ {value}"),
            Operator::Contains => format!("{name} @> ARRAY[{value}]"),
            _ => {
                return Err(Error::invalid(
                    format!("{at}.operator"),
                    format!("does not fit `{}`", column.path),
                ));
            }
        })
    }
}

/// That a column holds nothing: NULL, or the default that protobuf cannot tell from nothing.
fn absent(column: &Column) -> String {
    let name = column.of("t");
    if column.nullable {
        return format!("{name} IS NULL");
    }
    column.default().map_or_else(|| "false".to_owned(), |default| format!("{name} = {default}"))
}
