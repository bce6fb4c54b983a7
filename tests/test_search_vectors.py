"""Indexes of vectors that others have computed: every form of file, no file of an image, and what must be refused."""

import importlib.util
import json
import re
import warnings
from pathlib import Path

import httpx
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest
from demo_world import ask, served
from pyarrow import parquet
from search_world import names, noisy_pictures
from training_world import tiny_model

from utils.clip import embed_texts
from utils.course import CourseError
from utils.datasets import CaptionDataset, ImageError
from utils.demo.__main__ import load_index_and_presence
from utils.demo.answers import Answers
from utils.search import ImageIndex, SearchError

pytestmark = pytest.mark.usefixtures("quick_compilation")

NAMES = [f"airport/airport_{number}.jpg" for number in range(50)]
CAPTIONS = [f"an airport with {number} planes" for number in range(50)]
VECTORS = np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> CaptionDataset:
    return noisy_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def built(dataset, model) -> ImageIndex:
    return ImageIndex.build(model, dataset, batch_size=8, progress=False)


def by_numpy(query: np.ndarray, vectors: np.ndarray = VECTORS) -> list[str]:
    """All names, those closest to a vector first."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return [Path(NAMES[row]).name for row in np.argsort(-units @ query, kind="stable")]


# --- searched as NumPy searches ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.float16, jnp.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("engine", ["exact", "nmslib"])
def test_vectors_of_any_length_and_type_are_searched_as_numpy_searches(kind, engine):
    vectors = (7 * VECTORS).astype(kind)
    index = ImageIndex.from_vectors(vectors, NAMES, CAPTIONS, engine=engine)
    assert index.embeddings.dtype == np.float32 and index.model is None
    query, exact = np.random.default_rng(1).normal(size=16), vectors.astype(np.float64)
    hits = index.query_vector(3 * query, 50)
    assert names(hits) == by_numpy(query, exact)
    found = exact[[NAMES.index(str(hit.path)) for hit in hits]]
    cosines = found @ query / np.linalg.norm(found, axis=1) / np.linalg.norm(query)
    np.testing.assert_allclose([hit.score for hit in hits], cosines, atol=1e-6)
    member = index.query_member("airport_7.jpg", 49)
    assert names(member) == [name for name in by_numpy(exact[7], exact) if name != "airport_7.jpg"]
    assert member[0].captions == (CAPTIONS[NAMES.index(str(member[0].path))],)
    assert str(index).startswith("ImageIndex of 50 images (50 by name alone), vectors of 16")


def test_what_is_saved_is_what_is_loaded_and_needs_no_image(tmp_path, recwarn):
    index = ImageIndex.from_vectors(VECTORS, NAMES, CAPTIONS)
    index.save(tmp_path / "index")
    assert json.loads((tmp_path / "index" / "index.json").read_text())["version"] == 3  # earlier programs refuse it
    loaded = ImageIndex.load((tmp_path / "index").rename(tmp_path / "moved"))
    assert list(loaded.dataset) == list(index.dataset) and not loaded.missing and not recwarn
    assert loaded.query_vector(VECTORS[3], 9) == index.query_vector(VECTORS[3], 9)
    assert not any(hit.has_file for hit in loaded.query_vector(VECTORS[3], 9))


def test_an_address_comes_back_as_it_was_given(tmp_path):
    addresses = [f"https://example.org//{name}?size=3" for name in NAMES]
    ImageIndex.from_vectors(VECTORS, addresses).save(tmp_path)
    loaded = ImageIndex.load(tmp_path)
    assert {hit.given for hit in loaded.query_vector(VECTORS[3], 50)} == set(addresses)
    assert addresses[3] not in [hit.given for hit in loaded.query_member(addresses[3], 49)]


def test_a_name_is_never_opened_as_a_path(dataset, tmp_path):
    """Names are written by others: as paths they could show a visitor of the page any image of this machine."""
    index = ImageIndex.from_vectors(VECTORS[:2], [str(dataset[0].path), "b.jpg"])
    with pytest.raises(ImageError, match="its vector alone is known"):
        index.dataset[0].open()
    assert Answers(index).member_image("0") is None
    index.save(tmp_path)
    assert Answers(ImageIndex.load(tmp_path)).member_image("0") is None
    folder = dataset[0].path.parent
    (folder.parent / "secret.png").write_bytes(dataset[0].path.read_bytes())
    for name in (
        "../secret.png",
        f"{folder}/../secret.png",
        str(folder.parent / "secret.png"),
        f"//{folder}/../secret.png",
        "x" * 999,
    ):
        inside, outside = ImageIndex.from_vectors(VECTORS[:2], ["picture_1.png", name], image_dir=folder).dataset
        assert inside.path == dataset[1].path
        with pytest.raises(ImageError, match="its vector alone"):
            outside.open()


def test_one_name_may_be_the_end_of_another():
    index = ImageIndex.from_vectors(VECTORS[:3], ["a.jpg", "x/a.jpg", "y/b.jpg"])
    assert {str(hit.path) for hit in index.query_member("a.jpg")} == {"x/a.jpg", "y/b.jpg"}
    assert {str(hit.path) for hit in Answers(index).by_member("0", 2).hits} == {"x/a.jpg", "y/b.jpg"}
    assert {str(hit.path) for hit in index.query_member("b.jpg")} == {"a.jpg", "x/a.jpg"}


# --- with the model that made them ------------------------------------------------------------------------


def test_with_its_model_it_answers_as_the_index_that_embedded_the_images(built, dataset, model, tmp_path):
    file_names = [item.path.name for item in dataset]
    captions = [item.captions for item in dataset]
    with pytest.warns(UserWarning, match="24 captions do not find their images"):  # the model has learned nothing
        index = ImageIndex.from_vectors(built.embeddings, file_names, captions, model=model)
    for found, expected in zip(index.query_text("a port", 24), built.query_text("a port", 24), strict=True):
        assert (found.path.name, found.captions) == (expected.path.name, expected.captions)
        assert found.score == pytest.approx(expected.score, abs=1e-6)
    image = dataset[3].path
    assert names(index.query_image(image, 24))[0] == image.name  # its member has no file, so that nobody knows it
    by_vector, by_text = index.query_vector(embed_texts(model, ["a port"])[0], 5), index.query_text("a port", 5)
    assert [hit.score for hit in by_vector] == pytest.approx([hit.score for hit in by_text], abs=1e-6)
    index.save(tmp_path / "pinned")
    other = tiny_model(tmp_path / "other", text={"num_hidden_layers": 1})
    with pytest.raises(SearchError, match="built with another model"):
        ImageIndex.load(tmp_path / "pinned", other)
    loaded = ImageIndex.load(tmp_path / "pinned")
    loaded.save(tmp_path / "copy")  # what is known of the model is not lost
    with pytest.raises(SearchError, match="built with another model"):
        ImageIndex.load(tmp_path / "copy", other)


def test_images_are_shown_where_their_files_are(built, dataset, model, tmp_path):
    folder = dataset[0].path.parent
    away = [f"/data/published/{item.path.name}" for item in dataset]
    index = ImageIndex.from_vectors(built.embeddings, [*away[:-1], "/data/published/gone.png"], image_dir=folder)
    assert [item.path for item in index.dataset][:-1] == [item.path for item in dataset][:-1]
    assert [hit.has_file for hit in index.query_vector(built.embeddings[-1], 2)] == [False, True]
    assert "(1 by name alone)" in str(index)
    index.save(tmp_path / "index")
    loaded = ImageIndex.load(tmp_path / "index", model)
    assert loaded.query_text("pond", 24)[0].has_file in (True, False) and list(loaded.dataset) == list(index.dataset)
    own = [str(item.path) for item in dataset]
    assert ImageIndex.from_vectors(built.embeddings, own, image_dir=folder.parent).dataset[0].path == dataset[0].path
    with pytest.raises(SearchError, match=r"a file for none of the 24 names, .*picture_0\.png the first"):
        ImageIndex.from_vectors(built.embeddings, away, image_dir=tmp_path)


def test_a_model_that_cannot_be_theirs_is_refused(built, dataset, model, tmp_path):
    with pytest.raises(SearchError, match="vectors of 16 numbers and the model gives"):
        ImageIndex.from_vectors(VECTORS, NAMES, model=model)
    ImageIndex.from_vectors(VECTORS, NAMES).save(tmp_path / "index")
    with pytest.raises(SearchError, match="vectors of 16 numbers and the model gives"):
        ImageIndex.load(tmp_path / "index", model)
    strange = np.random.default_rng(0).normal(size=built.embeddings.shape)
    own = [item.path.name for item in dataset]
    folder = dataset[0].path.parent
    with pytest.raises(SearchError, match=r"otherwise than the vectors say, at a cosine of -?0\.\d\d on average of 4"):
        ImageIndex.from_vectors(strange, own, model=model, image_dir=folder)
    ImageIndex.from_vectors(strange, own, image_dir=folder).save(tmp_path / "strange")
    with pytest.raises(SearchError, match="otherwise than the vectors say"):
        ImageIndex.load(tmp_path / "strange", model)
    for name in own[:-1]:
        (tmp_path / name).write_bytes(b"damaged")  # which says nothing of the model
    (tmp_path / own[-1]).write_bytes(dataset[-1].path.read_bytes())
    assert len(ImageIndex.from_vectors(built.embeddings, own, model=model, image_dir=tmp_path)) == 24
    with pytest.raises(SearchError, match="on average of 1"):
        ImageIndex.from_vectors(strange, own, model=model, image_dir=tmp_path)
    ImageIndex.from_vectors(built.embeddings.astype(np.float16), own, image_dir=folder).save(tmp_path / "own")
    assert len(ImageIndex.load(tmp_path / "own", model).query_text("a port", 24)) == 24


def test_a_model_that_does_not_find_images_by_their_captions_is_warned_of(model, tmp_path):
    """Published vectors come without images: of two models of one width the wrong one would answer, and wrongly."""
    words = [first + second for first in "abcde" for second in "klmnopqrst"]  # the small model reads letters
    texts = embed_texts(model, words)
    rng = np.random.default_rng(0)
    near = texts - texts.mean(axis=0)
    near += 0.5 * near.std() * rng.normal(size=near.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        ImageIndex.from_vectors(near, NAMES, words, model=model)
    ImageIndex.from_vectors(rng.normal(size=texts.shape), NAMES, words).save(tmp_path)
    with pytest.warns(UserWarning, match=r"50 captions do not find their images: .* than \d\d% of the others"):
        ImageIndex.load(tmp_path, model)


def test_without_a_model_words_and_images_are_refused_in_a_sentence(dataset):
    index = ImageIndex.from_vectors(VECTORS, NAMES)
    image = dataset[0].path
    for ask_it in (
        lambda: index.query_text("a port"),
        lambda: index.query_image(image),
        lambda: index.query_text_and_image("a port", image),
        lambda: Answers(index).by_text("a port", 3),
    ):
        with pytest.raises(SearchError, match="has no model, so it can be asked by a member or a vector alone"):
            ask_it()
    for wrong in (np.zeros(16), np.full(16, np.nan), np.ones(15), np.ones((1, 16))):
        with pytest.raises(SearchError, match="cannot be searched for; give"):
            index.query_vector(wrong)


# --- every form of file -----------------------------------------------------------------------------------


def write_clip_retrieval(folder: Path, parts: int = 3, vectors: np.ndarray = VECTORS) -> Path:
    """The files of `clip-retrieval inference`, by hand: float16, numbered, with further columns."""
    for number, rows in enumerate(np.array_split(np.arange(len(vectors)), parts)):
        for kind in ("img_emb", "text_emb", "metadata"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", vectors[rows].astype(np.float16))
        np.save(folder / "text_emb" / f"text_emb_{number}.npy", -vectors[rows].astype(np.float16))
        columns = {
            "image_path": [f"/data/{NAMES[row]}" for row in rows],
            "caption": [CAPTIONS[row] for row in rows],
            "url": ["same"] * len(rows),
            "width": rows,
        }
        parquet.write_table(pa.table(columns), folder / "metadata" / f"metadata_{number}.parquet")
    return folder


def write_hub(path: Path, vector_kind: pa.DataType, rows: slice = slice(None)) -> Path:
    """Parquet as data sets on the Hub hold it: vectors of images and of texts, and other columns."""
    vectors = [row.tolist() for row in VECTORS[rows].astype(np.float32)]
    table = pa.table(
        {
            "image": pa.array([{"bytes": b"...", "path": None}] * len(vectors)),
            "file_name": NAMES[rows],
            "img_emb": pa.array(vectors, vector_kind),
            "text_emb": pa.array([[0.0] * 16] * len(vectors), vector_kind),
            "captions": pa.array([[text, "again"] for text in CAPTIONS[rows]]),
        }
    )
    parquet.write_table(table, path)
    return path


def check_index(index: ImageIndex, end: tuple[str, ...] = (), captions: bool = True) -> None:
    """That an index is that of all vectors, names and captions."""
    assert [Path(*item.path.parts[-2:]) for item in index.dataset] == [Path(name) for name in NAMES]
    assert [item.captions for item in index.dataset] == [((text, *end) if captions else ()) for text in CAPTIONS]
    assert names(index.query_vector(VECTORS[9], 5)) == by_numpy(VECTORS[9])[:5]


@pytest.mark.parametrize("parts", [1, 3, 12])  # as text, 10 stands before 2
def test_clip_retrievals_folder(tmp_path, parts):
    index = ImageIndex.from_vectors(write_clip_retrieval(tmp_path / "embeddings", parts))
    check_index(index)
    assert index.sources == ("embeddings",)
    for file in tmp_path.rglob("*.*"):  # published files often lie side by side
        file.rename(tmp_path / file.name)
    check_index(ImageIndex.from_vectors(tmp_path))


def test_what_clip_retrieval_itself_writes(tmp_path):
    pytest.importorskip("fsspec")
    package = importlib.util.find_spec("clip_retrieval")
    if package is None:
        pytest.skip("clip-retrieval is not installed")
    # Its package imports a server; the writer needs none.
    path = Path(package.submodule_search_locations[0]) / "clip_inference" / "writer.py"
    spec = importlib.util.spec_from_file_location("clip_retrieval_writer", path)
    writer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writer)
    for part, rows in enumerate(np.array_split(np.arange(50), 2)):
        write = writer.NumpyWriter(part, str(tmp_path / "out"), True, True, True, 2)
        batch = {
            "image_embs": VECTORS[rows].astype(np.float16),
            "image_filename": [f"/data/{NAMES[row]}" for row in rows],
            "text_embs": -VECTORS[rows].astype(np.float16),
            "text": [CAPTIONS[row] for row in rows],
            "metadata": [
                json.dumps({"url": f"http://{row}", "key": f"{row:09d}", "caption": "of its own"}) for row in rows
            ],
        }
        write(batch)
        write.flush()
    check_index(ImageIndex.from_vectors(tmp_path / "out"))


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float16(), 16), pa.large_list(pa.float64())])
def test_parquet_with_a_column_of_vectors(tmp_path, kind):
    path = write_hub(tmp_path / "train-00000-of-00001.parquet", kind)
    check_index(ImageIndex.from_vectors(path), end=("again",))
    path.unlink()
    write_hub(tmp_path / "train-00000-of-00002.parquet", kind, slice(0, 20))
    write_hub(tmp_path / "train-00001-of-00002.parquet", kind, slice(20, 50))
    check_index(ImageIndex.from_vectors(tmp_path), end=("again",))


def test_what_pandas_writes(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"URL": NAMES, "TEXT": CAPTIONS, "embedding": list(VECTORS)})
    frame.to_parquet(tmp_path / "laion.parquet")
    check_index(ImageIndex.from_vectors(tmp_path / "laion.parquet"))


def test_numpys_files(tmp_path):
    np.savez(tmp_path / "all.npz", image_features=VECTORS, filenames=np.array(NAMES), captions=np.array(CAPTIONS))
    check_index(ImageIndex.from_vectors(tmp_path / "all.npz"))
    np.save(tmp_path / "vectors.npy", VECTORS.astype(np.float16))
    (tmp_path / "names.txt").write_text("\ufeff" + "\r\n".join(NAMES) + "\n", encoding="utf-8")
    (tmp_path / "names.json").write_text(json.dumps(NAMES))
    parquet.write_table(pa.table({"filepath": NAMES, "title": CAPTIONS}), tmp_path / "names.parquet")
    for given in (NAMES, tmp_path / "names.txt", str(tmp_path / "names.json")):
        check_index(ImageIndex.from_vectors(tmp_path / "vectors.npy", given), captions=False)
        check_index(ImageIndex.from_vectors(tmp_path / "vectors.npy", given, CAPTIONS))
    check_index(ImageIndex.from_vectors(str(tmp_path / "vectors.npy"), tmp_path / "names.parquet"))


# --- what must be refused ---------------------------------------------------------------------------------


def with_row(row: int, value: float) -> np.ndarray:
    changed = VECTORS.copy()
    changed[row] = value
    return changed


@pytest.mark.parametrize(
    ("vectors", "given", "captions", "sentence"),
    [
        (with_row(7, np.nan), NAMES, None, r"1 of 50 vectors are not finite numbers, row 7 \(airport/airport_7\.jpg\)"),
        (with_row(7, np.inf).astype(np.float16), NAMES, None, "not finite numbers, row 7"),
        (with_row(3, 0), NAMES, None, "1 of 50 vectors are nothing but zeros, row 3"),
        (VECTORS, NAMES[:-1], None, "50 vectors do not fit 49 names"),
        (VECTORS, NAMES, CAPTIONS[:-1], "50 vectors do not fit 49 captions"),
        (VECTORS, NAMES, [*CAPTIONS[:-1], np.nan], r"caption of row 49 \(airport/airport_49\.jpg\) is nan; give"),
        (VECTORS, NAMES, [*CAPTIONS[:-1], ["a", None]], "caption of row 49 .* is .'a', None"),
        (VECTORS, None, None, "have no names; give names="),
        (VECTORS, [*NAMES[:-1], "airport//airport_0.jpg"], None, "Rows 0 and 49 have one name, airport//airport_0"),
        (VECTORS, [*NAMES[:-1], ""], None, "The name of row 49 is ''"),
        (VECTORS, [*NAMES[:-1], "a/.."], None, "The name of row 49 is 'a/..'"),
        (VECTORS, [*NAMES[:-1], 49], None, "The name of row 49 is 49"),
        (VECTORS[0], NAMES, None, r"have the shape \(16,\)"),
        (VECTORS[:0], [], None, r"have the shape \(0, 16\)"),
        ((99 * VECTORS).astype(np.int8), NAMES, None, "are of type int8; give float16, float32"),
        (VECTORS.astype(object), NAMES, None, "are of type object"),
    ],
)
def test_what_is_wrong_with_vectors_is_said_in_a_sentence(vectors, given, captions, sentence):
    with pytest.raises(SearchError, match=sentence) as refusal:
        ImageIndex.from_vectors(vectors, given, captions)
    assert "\n" not in str(refusal.value)


def damaged(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that cannot be read, with what must be said of each."""
    clip_retrieval = write_clip_retrieval(folder / "lonely")
    (clip_retrieval / "metadata" / "metadata_1.parquet").unlink()
    short = write_clip_retrieval(folder / "short")
    np.save(short / "img_emb" / "img_emb_2.npy", VECTORS[:3])
    (folder / "empty").mkdir()
    np.save(folder / "whole.npy", VECTORS)
    (folder / "cut.npy").write_bytes((folder / "whole.npy").read_bytes()[:-9])
    np.savez(folder / "whole.npz", VECTORS)
    (folder / "cut.npz").write_bytes((folder / "whole.npz").read_bytes()[:-9])
    np.save(folder / "jax.npy", VECTORS.astype(jnp.bfloat16))
    np.savez(folder / "objects.npz", vectors=VECTORS, names=np.array(NAMES, object))
    np.savez(folder / "two.npz", first=VECTORS, second=VECTORS, names=NAMES)
    np.savez(folder / "texts.npz", text_features=VECTORS, names=NAMES)
    (folder / "cut.parquet").write_bytes(write_hub(folder / "hub.parquet", pa.list_(pa.float32())).read_bytes()[:-9])
    ragged = pa.table({"name": ["a", "b"], "vector": pa.array([[1.0, 2.0], [1.0, 2.0, 3.0]])})
    parquet.write_table(ragged, folder / "ragged.parquet")
    holed = pa.table({"name": ["a", "b"], "vector": pa.array([[1.0, 2.0], None])})
    parquet.write_table(holed, folder / "holed.parquet")
    (folder / "vectors.pt").write_bytes(b"")
    return {
        "lonely": (clip_retrieval, r"part 1 lacks its img_emb_\*\.npy or metadata"),
        "short": (short, "Part 2 has 3 vectors and 16 names"),
        "empty": (folder / "empty", r"holds no img_emb_0\.npy beside metadata_0\.parquet"),
        "cut.npy": (folder / "cut.npy", r"cut\.npy cannot be read"),
        "cut.npz": (folder / "cut.npz", r"cut\.npz cannot be read"),
        "objects": (folder / "objects.npz", "holds Python objects, which are not opened"),
        "two": (folder / "two.npz", "must hold one matrix or column of image vectors, and has first, second"),
        "texts": (folder / "texts.npz", "must hold one matrix .* and has text_features"),
        "cut.parquet": (folder / "cut.parquet", r"cut\.parquet cannot be read"),
        "ragged": (folder / "ragged.parquet", "'vector' are not all of one length"),
        "holed": (folder / "holed.parquet", "'vector' are not all of one length"),
        "jax": (folder / "jax.npy", r"of type \|V2 \(bfloat16, if JAX has saved them\)"),
        "nothing": (folder / "nothing.npy", r"There is no .*nothing\.npy"),
        "unknown": (folder / "vectors.pt", r"vectors\.pt is no file of vectors; give"),
        "no names": (folder / "whole.npy", "have no names; give names="),
    }


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for kind, (path, sentence) in damaged(tmp_path).items():
        with pytest.raises(SearchError) as refusal:
            ImageIndex.from_vectors(path, NAMES if kind == "jax" else None)
        assert re.search(sentence, str(refusal.value)) and "\n" not in str(refusal.value), kind


def test_names_that_cannot_be_read_are_told(tmp_path):
    (tmp_path / "names.json").write_text('{"a": 1}')
    (tmp_path / "names.csv").write_text("a")
    for name, sentence in (("names.json", "is no list of names"), ("names.csv", "no file of names"), ("no.txt", "no ")):
        with pytest.raises(SearchError, match=sentence):
            ImageIndex.from_vectors(VECTORS, tmp_path / name)


# --- on the page ------------------------------------------------------------------------------------------


def test_the_page_shows_names_where_there_are_no_images(built, dataset, model, folder, tmp_path):
    given = [f"/data/<b>{item.path.name}" for item in dataset]
    ImageIndex.from_vectors(built.embeddings, given).save(tmp_path / "index")
    index, _ = load_index_and_presence(tmp_path / "run", str(tmp_path / "index"), str(folder))
    with served(index) as address, httpx.Client(base_url=address, timeout=30) as client:
        html = ask(client, "search_by_text", "a port", 24)
    assert html.count("<button") == 24 and ">&lt;b&gt;picture_0.png</button>" in html and "/data" not in html
    assert "no longer there" not in html and "<img" not in html and "<b>picture" not in html


def test_the_page_says_which_model_an_index_wants(folder, tmp_path):
    ImageIndex.from_vectors(VECTORS, NAMES).save(tmp_path / "index")
    with pytest.raises(CourseError, match=r"vectors of 16 numbers and the model gives .*load the model that made them"):
        load_index_and_presence(tmp_path / "run", str(tmp_path / "index"), str(folder))
