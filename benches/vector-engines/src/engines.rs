//! The engines under one trait, each set up as the product would use it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use qdrant_edge::{
    Condition, CreateIndex, EdgeConfig, EdgeShard, FieldCondition, FieldIndexOperations, Filter, JsonPath,
    NamedQuery, PayloadFieldSchema, PayloadSchemaType, PointId, PointInsertOperations, PointOperations,
    PointStruct, QuantizationSearchParams, QueryEnum, SearchParams, SearchRequest, UpdateOperation,
    VectorInternal, VectorStructInternal, WithPayloadInterface, WithVector,
};
use serde_json::json;
use usearch::ffi::{IndexOptions, MetricKind, ScalarKind};

use crate::data::{Allowed, DIMENSIONS, TOP, bucket, dot};

/// How a search is run.
#[derive(Clone, Copy)]
pub enum How {
    /// The engine's own graph search of this breadth, with its own filter.
    Graph { breadth: usize },
    /// Every allowed vector is compared in full precision.
    Exact,
}

/// One way to search that is measured, with the number of queries that it is given.
pub struct Point {
    pub allowed: Allowed,
    pub how: How,
    pub queries: usize,
}

/// An embedded vector engine over cosine similarity of unit vectors.
pub trait Engine: Sized + Sync {
    const POINTS: &[Point];

    fn create(dir: &Path) -> Result<Self>;
    fn open(dir: &Path) -> Result<Self>;
    /// Opens for reading alone, by mapping the file where the engine knows a cheaper way to.
    fn open_read_only(dir: &Path) -> Result<Self> {
        Self::open(dir)
    }
    /// Adds or replaces `vectors` under ids that count from `first`.
    fn put(&self, first: u64, vectors: &[f32]) -> Result<()>;
    /// What was put before this returns must survive a crash.
    fn make_durable(&self) -> Result<()>;
    fn optimize(&self) -> Result<()>;
    fn search(&self, query: &[f32], allowed_ids: &[u64], point: &Point) -> Result<Vec<u64>>;
    fn vector(&self, id: u64) -> Result<Option<Vec<f32>>>;
}

const fn point(allowed: Allowed, how: How, queries: usize) -> Point {
    Point { allowed, how, queries }
}

const fn graph(breadth: usize) -> How {
    How::Graph { breadth }
}

/// int8 codes in memory, rescored from f32 vectors on disk; buckets as an indexed payload.
pub struct QdrantEdge(pub EdgeShard);

impl QdrantEdge {
    fn update(&self, operation: UpdateOperation) -> Result<()> {
        Ok(self.0.update(operation)?)
    }
}

fn field(name: &str) -> Result<JsonPath> {
    name.parse().map_err(|()| anyhow!("{name:?} is not a payload path"))
}

impl Engine for QdrantEdge {
    const POINTS: &[Point] = &[
        point(Allowed::All, graph(32), 1000),
        point(Allowed::All, graph(64), 1000),
        point(Allowed::All, graph(128), 1000),
        point(Allowed::Tenth, graph(64), 1000),
        point(Allowed::Tenth, graph(128), 1000),
        point(Allowed::Tenth, How::Exact, 300),
        point(Allowed::Hundredth, graph(64), 1000),
        point(Allowed::Hundredth, How::Exact, 1000),
    ];

    fn create(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let config: EdgeConfig = serde_json::from_value(json!({
            "vectors": { "": { "size": DIMENSIONS, "distance": "Dot", "on_disk": true } },
            "hnsw_config": { "m": 16, "ef_construct": 128, "full_scan_threshold": 10_000 },
            "quantization_config": { "scalar": { "type": "int8", "always_ram": true } },
            "optimizers": { "default_segment_number": 1, "indexing_threshold": 1_000 },
        }))?;
        let engine = Self(EdgeShard::new(dir, config)?);
        for name in ["tenth", "hundredth"] {
            let field_schema = Some(PayloadFieldSchema::FieldType(PayloadSchemaType::Integer));
            let index = CreateIndex { field_name: field(name)?, field_schema };
            engine.update(UpdateOperation::FieldIndexOperation(FieldIndexOperations::CreateIndex(index)))?;
        }
        Ok(engine)
    }

    fn open(dir: &Path) -> Result<Self> {
        Ok(Self(EdgeShard::load(dir, None)?))
    }

    fn put(&self, first: u64, vectors: &[f32]) -> Result<()> {
        let points = (first..).zip(vectors.chunks_exact(DIMENSIONS)).map(|(id, vector)| {
            let payload = json!({ "tenth": bucket(id) % 10, "hundredth": bucket(id) });
            PointStruct::new(PointId::NumId(id), vector, payload).into()
        });
        let points = PointInsertOperations::PointsList(points.collect());
        self.update(UpdateOperation::PointOperation(PointOperations::UpsertPoints(points)))
    }

    fn make_durable(&self) -> Result<()> {
        self.0.flush();
        Ok(())
    }

    fn optimize(&self) -> Result<()> {
        self.0.optimize()?;
        self.make_durable()
    }

    fn search(&self, query: &[f32], _: &[u64], point: &Point) -> Result<Vec<u64>> {
        let filter = |name: &str| {
            let condition = FieldCondition::new_match(field(name)?, 0.into());
            anyhow::Ok(Some(Filter::new_must(Condition::Field(condition))))
        };
        let quantized =
            QuantizationSearchParams { ignore: false, rescore: Some(true), oversampling: Some(2.0) };
        let params = match point.how {
            How::Graph { breadth } => SearchParams {
                hnsw_ef: Some(breadth),
                quantization: Some(quantized),
                ..SearchParams::default()
            },
            How::Exact => SearchParams {
                exact: true,
                quantization: Some(QuantizationSearchParams { ignore: true, ..quantized }),
                ..SearchParams::default()
            },
        };
        let found = self.0.search(SearchRequest {
            query: QueryEnum::Nearest(NamedQuery::default_dense(query.to_vec())),
            filter: match point.allowed {
                Allowed::All => None,
                Allowed::Tenth => filter("tenth")?,
                Allowed::Hundredth => filter("hundredth")?,
            },
            params: Some(params),
            limit: TOP,
            offset: 0,
            with_payload: Some(WithPayloadInterface::Bool(false)),
            with_vector: Some(WithVector::Bool(false)),
            score_threshold: None,
        })?;
        let numbers = found.iter().filter_map(|hit| match hit.id {
            PointId::NumId(id) => Some(id),
            PointId::Uuid(_) => None,
        });
        Ok(numbers.collect())
    }

    fn vector(&self, id: u64) -> Result<Option<Vec<f32>>> {
        let silent = Some(WithPayloadInterface::Bool(false));
        let records = self.0.retrieve(&[PointId::NumId(id)], silent, Some(WithVector::Bool(true)))?;
        Ok(records.into_iter().find_map(|record| match record.vector? {
            VectorStructInternal::Single(vector) => Some(vector),
            VectorStructInternal::Named(mut named) => match named.remove("")? {
                VectorInternal::Dense(vector) => Some(vector),
                _ => None,
            },
            VectorStructInternal::MultiDense(_) => None,
        }))
    }
}

/// f32 vectors and graph in memory. It has no log: durable is a whole new file, synced and renamed over the old one.
pub struct Usearch {
    index: usearch::Index,
    file: PathBuf,
}

impl Usearch {
    fn empty(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let options = IndexOptions {
            dimensions: DIMENSIONS,
            metric: MetricKind::Cos,
            quantization: ScalarKind::F32,
            connectivity: 16,
            expansion_add: 128,
            expansion_search: 64,
            multi: false,
        };
        Ok(Self { index: usearch::Index::new(&options)?, file: dir.join("index.usearch") })
    }

    fn path(&self) -> Result<&str> {
        self.file.to_str().context("the path is not UTF-8")
    }
}

impl Engine for Usearch {
    const POINTS: &[Point] = &[
        point(Allowed::All, graph(32), 1000),
        point(Allowed::All, graph(64), 1000),
        point(Allowed::All, graph(128), 1000),
        point(Allowed::Tenth, graph(64), 300),
        point(Allowed::Tenth, How::Exact, 300),
        point(Allowed::Hundredth, graph(64), 100),
        point(Allowed::Hundredth, How::Exact, 1000),
    ];

    fn create(dir: &Path) -> Result<Self> {
        Self::empty(dir)
    }

    fn open(dir: &Path) -> Result<Self> {
        let engine = Self::empty(dir)?;
        engine.index.load(engine.path()?)?;
        Ok(engine)
    }

    fn open_read_only(dir: &Path) -> Result<Self> {
        let engine = Self::empty(dir)?;
        engine.index.view(engine.path()?)?;
        Ok(engine)
    }

    fn put(&self, first: u64, vectors: &[f32]) -> Result<()> {
        let wanted = self.index.size() + vectors.len() / DIMENSIONS;
        if wanted > self.index.capacity() {
            self.index.reserve(wanted.next_power_of_two())?;
        }
        for (id, vector) in (first..).zip(vectors.chunks_exact(DIMENSIONS)) {
            if self.index.contains(id) {
                self.index.remove(id)?;
            }
            self.index.add(id, vector)?;
        }
        Ok(())
    }

    fn make_durable(&self) -> Result<()> {
        let draft = self.file.with_extension("draft");
        self.index.save(draft.to_str().context("the path is not UTF-8")?)?;
        File::open(&draft)?.sync_all()?;
        fs::rename(&draft, &self.file)?;
        let dir = self.file.parent().context("the index file has no folder")?;
        Ok(File::open(dir)?.sync_all()?)
    }

    fn optimize(&self) -> Result<()> {
        self.make_durable()
    }

    fn search(&self, query: &[f32], allowed_ids: &[u64], point: &Point) -> Result<Vec<u64>> {
        let breadth = match point.how {
            How::Graph { breadth } => breadth,
            How::Exact => return self.scan(query, allowed_ids),
        };
        self.index.change_expansion_search(breadth);
        Ok(match point.allowed {
            Allowed::All => self.index.search(query, TOP)?.keys,
            allowed => self.index.filtered_search(query, TOP, |id| allowed.contains(id))?.keys,
        })
    }

    fn vector(&self, id: u64) -> Result<Option<Vec<f32>>> {
        let mut vector = vec![0.0f32; DIMENSIONS];
        Ok((self.index.get(id, &mut vector)? == 1).then_some(vector))
    }
}

impl Usearch {
    fn scan(&self, query: &[f32], allowed_ids: &[u64]) -> Result<Vec<u64>> {
        let mut vector = vec![0.0f32; DIMENSIONS];
        let mut scored = Vec::with_capacity(allowed_ids.len());
        for id in allowed_ids {
            self.index.get(*id, &mut vector)?;
            scored.push((dot(query, &vector), *id));
        }
        scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        Ok(scored.into_iter().take(TOP).map(|(_, id)| id).collect())
    }
}
