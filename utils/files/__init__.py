"""Files and folders: found, written whole, locked, and the processes that write them."""

from utils.files.digests import digest_of_file, digest_of_folder
from utils.files.drafts import publish, share_as_new, sweep_workshops, workshop
from utils.files.hub import find_checkpoint
from utils.files.locks import FolderInUseError, sole_owner
from utils.files.patterns import expanded, from_home
from utils.files.workers import usable_cores, worker_pool
from utils.files.writing import (
    disk_trouble,
    disk_trouble_in_words,
    file_in_the_way,
    leads_out,
    move,
    printable,
    read_json,
    refuse_file,
    write_whole,
)
