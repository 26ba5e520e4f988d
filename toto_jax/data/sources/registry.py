"""The layouts of media: how a data set's files lie, by name."""

from collections.abc import Callable, Iterator

from toto_jax.data import synthetic
from toto_jax.data.config import LAYOUTS, DataConfig
from toto_jax.data.media import MediaItem
from toto_jax.data.sources import files, imagenet, lists, tables, tfds, webdataset
from toto_jax.errors import ConfigError

SYNTHETIC = "synthetic"
# (config.data.media, config.data.annotations, whether classes are wanted) -> inputs in any order
ListItems = Callable[[str, tuple[str, ...], bool], Iterator[MediaItem]]
_LIST_ITEMS: dict[str, ListItems] = {
    "files": files.list_items,
    "imagenet": imagenet.list_items,
    "kinetics": tables.KINETICS.list_items,
    "ego4d": tables.EGO4D.list_items,
    "howto100m": tables.HOWTO100M.list_items,
    "listed": lists.list_items,
    "ucf101": lists.list_ucf101,
    "webdataset": webdataset.list_items,
    "tfds": tfds.list_items,
}
_WITHOUT_ANNOTATIONS = (SYNTHETIC, "files", "webdataset")


def list_media(data: DataConfig, synthetic_clips: int) -> list[MediaItem]:
    """Lists inputs, sorted by name; of two with one name, the first that the layout gives counts.

    Args:
      data: says where the media are, how they lie, and whether classes are wanted; media "synthetic" have no layout.
      synthetic_clips: how many of them, if so.

    Raises:
      ConfigError: if no media are named, or what is named isn't what the layout takes.
      DataError: if there are no media; it says what was looked for and found.
    """
    if not data.media:
        raise ConfigError(
            "config.data.media is empty: give a folder or a list of videos and images, or 'synthetic'"
        )
    layout = SYNTHETIC if data.media == SYNTHETIC else data.layout
    if data.annotations and layout in _WITHOUT_ANNOTATIONS:
        others = ", ".join(name for name in LAYOUTS if name not in _WITHOUT_ANNOTATIONS)
        raise ConfigError(
            f"config.data.annotations={data.annotations!r}, but media in the layout {layout!r} have none; "
            f"layouts with annotations: {others}"
        )
    if layout == SYNTHETIC:
        names = [synthetic.clip_name(index) for index in range(synthetic_clips)]
        # Their names tell the classes, at no cost.
        return [MediaItem(name, "video", name.split("/")[0], None, 0) for name in sorted(names)]
    items = list(_LIST_ITEMS[layout](data.media, data.annotations, data.labels == "layout"))
    items.sort(key=lambda item: item.name)
    return [item for before, item in zip([None, *items], items, strict=False) if not _same(before, item)]


def _same(before: MediaItem | None, item: MediaItem) -> bool:
    return before is not None and before.name == item.name
