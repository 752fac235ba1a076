/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory backends: -object memory-backend-memfd and memory-backend-file.
 * Runs in: both programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "system/ram.h"
#include "util/error.h"
#include "util/fd.h"

QOM_DEFINE_TYPE(MemoryBackend, memory_backend, "memory-backend", QOM_TYPE_OBJECT,
                G_TYPE_FLAG_ABSTRACT)

#define BACKEND_SIZE_PROP \
    { "size", QOM_PROP_KIND_SIZE, offsetof(MemoryBackend, size), \
      .description = "bytes of memory (required)" }

static void memory_backend_finalize(GObject *gobject)
{
    ram_block_unref(MEMORY_BACKEND(gobject)->block);
    G_OBJECT_CLASS(memory_backend_parent_class)->finalize(gobject);
}

static void memory_backend_class_init(MemoryBackendClass *klass)
{
    ((GObjectClass *)klass)->finalize = memory_backend_finalize;
}

static void memory_backend_init(MemoryBackend *self)
{
}

/* Sizes are whole pages, as mappings are. */
static bool check_size(MemoryBackend *backend, GError **errp)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

    if (!backend->size || backend->size % page || backend->size > INT64_MAX) {
        error_setg(errp,
                   "-object %s,id=%s: size %" G_GUINT64_FORMAT
                   " is not a multiple of the page size %" G_GUINT64_FORMAT
                   " above 0; give size=256M or the like",
                   G_OBJECT_TYPE_NAME(backend), backend->qom.name, backend->size, page);
        return false;
    }
    return true;
}

static bool backend_can_be_deleted(QomObject *obj, GError **errp)
{
    if (MEMORY_BACKEND(obj)->mapped) {
        error_setg(errp, "object '%s' is in use by the machine; it can go with the machine only",
                   obj->name);
        return false;
    }
    return true;
}

/* ---- memory-backend-memfd -------------------------------------------------------------------- */

static bool memfd_complete(QomObject *obj, GError **errp)
{
    MemoryBackend *backend = MEMORY_BACKEND(obj);

    if (!check_size(backend, errp)) {
        return false;
    }
    if (!backend->share) {
        error_setg(errp,
                   "-object memory-backend-memfd,id=%s: share=off is not supported; leave it on",
                   obj->name);
        return false;
    }
    backend->block = ram_block_new_memfd(obj->name, backend->size, backend->seal, errp);
    return backend->block != NULL;
}

typedef MemoryBackend MemfdBackend;
typedef MemoryBackendClass MemfdBackendClass;

static void memfd_iface_init(gpointer iface, gpointer data)
{
    ((UserCreatableInterface *)iface)->complete = memfd_complete;
    ((UserCreatableInterface *)iface)->can_be_deleted = backend_can_be_deleted;
}

static const GInterfaceInfo memfd_iface = { .interface_init = memfd_iface_init };

QOM_DEFINE_TYPE_WITH_CODE(MemfdBackend, memory_backend_memfd, "memory-backend-memfd",
                          memory_backend_get_type(), 0,
                          g_type_add_interface_static(type, QOM_TYPE_USER_CREATABLE, &memfd_iface))

static const QomProperty memfd_properties[] = {
    BACKEND_SIZE_PROP,
    { "share", QOM_PROP_KIND_BOOL, offsetof(MemoryBackend, share), .default_value = true,
      .description = "shared with other processes" },
    { "seal", QOM_PROP_KIND_BOOL, offsetof(MemoryBackend, seal), .default_value = true,
      .description = "sealed: nobody can grow or shrink it" },
    { 0 },
};

static void memory_backend_memfd_class_init(MemfdBackendClass *klass)
{
    klass->qom_class.description = "guest memory on an anonymous shared file";
    qom_class_add_properties(klass, memfd_properties);
}

static void memory_backend_memfd_init(MemfdBackend *self)
{
}

/* ---- memory-backend-file --------------------------------------------------------------------- */

/*
 * Opens mem-path: a directory gives an unnamed file there, a missing file is made.  Returns an
 * owned fd or -1.
 */
static int open_mem_path(MemoryBackend *backend, GError **errp)
{
    int access = backend->readonly ? O_RDONLY : O_RDWR;
    int fd;

    if (fd_paths_forbidden()) {
        error_setg(errp, "-object memory-backend-file,id=%s: this process is confined and opens no mem-path=%s; give "
                         "it on the command line", backend->qom.name, backend->mem_path);
        return -1;
    }
    fd = open(backend->mem_path, access | O_CLOEXEC);
    if (fd < 0 && errno == EISDIR) {
        fd = open(backend->mem_path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    } else if (fd < 0 && errno == ENOENT && !backend->readonly) {
        fd = open(backend->mem_path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    }
    if (fd < 0) {
        error_setg_errno(errp, errno, "-object memory-backend-file,id=%s: cannot open mem-path=%s; "
                         "give a file or directory of yours",
                         backend->qom.name, backend->mem_path);
    }
    return fd;
}

static bool file_complete(QomObject *obj, GError **errp)
{
    MemoryBackend *backend = MEMORY_BACKEND(obj);
    auto_fd fd = -1;
    struct stat st;

    if (!check_size(backend, errp)) {
        return false;
    }
    fd = open_mem_path(backend, errp);
    if (fd < 0) {
        return false;
    }
    /*
     * The user's own file, not a peer's: a short one is extended, as users of this backend expect.
     */
    if (fd_stat(fd, &st) < 0 ||
        ((uint64_t)st.st_size < backend->size && ftruncate(fd, (off_t)backend->size) < 0)) {
        error_setg_errno(
            errp, errno,
            "-object memory-backend-file,id=%s: cannot extend mem-path=%s to %" G_GUINT64_FORMAT
            " bytes",
            obj->name, backend->mem_path, backend->size);
        return false;
    }
    if (backend->share) {
        backend->block = ram_block_new_take_fd(obj->name, fd_steal(&fd), 0, backend->size,
                                               backend->readonly, errp);
    } else {
        backend->block =
            ram_block_new_private_take_fd(obj->name, fd_steal(&fd), backend->size, errp);
    }
    return backend->block != NULL;
}

typedef MemoryBackend FileBackend;
typedef MemoryBackendClass FileBackendClass;

static void file_iface_init(gpointer iface, gpointer data)
{
    ((UserCreatableInterface *)iface)->complete = file_complete;
    ((UserCreatableInterface *)iface)->can_be_deleted = backend_can_be_deleted;
}

static const GInterfaceInfo file_iface = { .interface_init = file_iface_init };

QOM_DEFINE_TYPE_WITH_CODE(FileBackend, memory_backend_file, "memory-backend-file",
                          memory_backend_get_type(), 0,
                          g_type_add_interface_static(type, QOM_TYPE_USER_CREATABLE, &file_iface))

static const QomProperty file_properties[] = {
    BACKEND_SIZE_PROP,
    { "share", QOM_PROP_KIND_BOOL, offsetof(MemoryBackend, share),
      .description = "shared with other processes; remote devices need on" },
    { "readonly", QOM_PROP_KIND_BOOL, offsetof(MemoryBackend, readonly),
      .description = "open the file read-only" },
    { "mem-path", QOM_PROP_KIND_STRING, offsetof(MemoryBackend, mem_path),
      .flags = QOM_PROP_REQUIRED, .description = "file, or directory for an unnamed file" },
    { 0 },
};

static void memory_backend_file_class_init(FileBackendClass *klass)
{
    klass->qom_class.description = "guest memory on a file";
    qom_class_add_properties(klass, file_properties);
}

static void memory_backend_file_init(FileBackend *self)
{
}
