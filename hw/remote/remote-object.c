/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x-remote-object: the user's handle on a link server, and the end of the process with the last link.
 *
 * Runs in: qemu-remote.
 */
#include "hw/remote/remote-object.h"

#include "system/runstate.h"
#include "trace/hw-remote.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/fd-name.h"

static GPtrArray *objects;       /* RemoteObject *, completed ones; no references */
static unsigned live_links;      /* links that have not ended */
static bool protocol_broken;     /* a peer was cut off */
static bool auto_shutdown = true;

void remote_set_auto_shutdown(bool on)
{
    auto_shutdown = on;
}

static void end_without_links(void)
{
    if (live_links == 0 && auto_shutdown) {
        shutdown_request(protocol_broken ? 1 : 0);
    }
}

void remote_end_with_links(void)
{
    auto_shutdown = true;
    end_without_links();
}

/* The object stays, without a link, until it is deleted. */
static void remote_object_link_ended(LinkServer *server, LinkServerEnd how, void *opaque)
{
    RemoteObject *self = opaque;

    protocol_broken |= how == LINK_SERVER_END_PROTOCOL;
    live_links--;
    trace_remote_object_ended(self->devid, live_links);
    end_without_links();
}

static bool remote_object_check_socket(RemoteObject *self, int fd, GError **errp)
{
    FdKind kind = fd_kind(fd);

    if (kind != FD_KIND_SOCKET) {
        error_setg(errp, "fd=%s is %s, not a socket; pass one end of a connected socket pair", self->fd_text,
                   fd_kind_name(kind));
        return false;
    }
    return true;
}

/*
 * A number is looked at before it is taken, so that a mistaken one (this program's own, standard input) stays open.
 * One that another object has already cannot be a second link.
 */
static bool remote_object_check_number(RemoteObject *self, GError **errp)
{
    int fd = fd_parse("fd", self->fd_text, errp);

    if (fd < 0 || !remote_object_check_socket(self, fd, errp)) {
        return false;
    }
    for (unsigned i = 0; i < objects->len; i++) {
        RemoteObject *other = g_ptr_array_index(objects, i);

        if (other->fd == fd && link_server_state(other->server) != LINK_SERVER_ENDED) {
            error_setg(errp, "fd=%s is in use by object '%s'; each object needs a socket of its own",
                       self->fd_text, other->qom.name);
            return false;
        }
    }
    return true;
}

/* The socket of property fd, owned, or -1 with *errp. */
static int remote_object_take_socket(RemoteObject *self, GError **errp)
{
    auto_fd fd = -1;

    if (g_ascii_isdigit(self->fd_text[0]) && !remote_object_check_number(self, errp)) {
        return -1;
    }
    fd = fd_name_or_number_take("fd", self->fd_text, errp);
    if (fd < 0 || !remote_object_check_socket(self, fd, errp)) {
        return -1;
    }
    return fd_steal(&fd);
}

/* The device to serve, or NULL with *errp. */
static Device *remote_object_find_device(RemoteObject *self, GError **errp)
{
    Device *dev = device_find(self->devid);

    if (!dev) {
        error_set(errp, ERROR_CLASS_DEVICE_NOT_FOUND, "devid=%s: there is no device with this id; add -device "
                  "DRIVER,id=%s", self->devid, self->devid);
        return NULL;
    }
    if (!IS_PCI_DEVICE(dev)) {
        error_setg(errp, "devid=%s is no PCI device (it is a %s); name the PCI device it hangs on", self->devid,
                   G_OBJECT_TYPE_NAME(dev));
        return NULL;
    }
    if (dev->removing) {
        error_setg(errp, "devid=%s: the device is being removed; name another", self->devid);
        return NULL;
    }
    return dev;
}

static bool remote_object_complete(QomObject *obj, GError **errp)
{
    RemoteObject *self = REMOTE_OBJECT(obj);
    Device *dev = remote_object_find_device(self, errp);
    g_autofree char *blocker = NULL;
    int fd;

    if (!dev) {
        return false;
    }
    fd = remote_object_take_socket(self, errp);
    if (fd < 0) {
        return false;
    }
    self->fd = fd;
    self->server = link_server_new_take_fd(fd, PCI_DEVICE(dev), self->devid, remote_object_link_ended, self, errp);
    if (!self->server) {
        return false;
    }
    self->dev = dev;
    blocker = g_strdup_printf("it is served by " TYPE_REMOTE_OBJECT_NAME " '%s'; delete that first (object-del)",
                              obj->name);
    device_set_unplug_blocker(dev, blocker);
    g_ptr_array_add(objects, self);
    live_links++;
    return true;
}

/* UserCreatableInterface.quiesce: guest RAM is no longer this process's affair. */
static bool remote_object_quiesce(QomObject *obj)
{
    RemoteObject *self = REMOTE_OBJECT(obj);
    bool had_ended = link_server_state(self->server) == LINK_SERVER_ENDED;
    bool over = link_server_stop(self->server);

    live_links -= !had_ended && link_server_state(self->server) == LINK_SERVER_ENDED;
    return over;
}

static void remote_object_finalize(GObject *gobject);

static void remote_object_class_init(RemoteObjectClass *klass)
{
    static const QomProperty properties[] = {
        { .name = "fd", .kind = QOM_PROP_KIND_STRING, .offset = offsetof(RemoteObject, fd_text),
          .flags = QOM_PROP_REQUIRED | QOM_PROP_WRITE_ONLY,
          .description = "number or name of a connected AF_UNIX stream socket, the other end of which the proxy has" },
        { .name = "devid", .kind = QOM_PROP_KIND_STRING, .offset = offsetof(RemoteObject, devid),
          .flags = QOM_PROP_REQUIRED | QOM_PROP_WRITE_ONLY, .description = "id of the PCI device to serve" },
        { .name = NULL },
    };

    G_OBJECT_CLASS(klass)->finalize = remote_object_finalize;
    klass->qom_class.description = "serves a PCI device of this process to a proxy";
    qom_class_add_properties(klass, properties);
    objects = g_ptr_array_new();
}

static void remote_object_init(RemoteObject *self)
{
    self->fd = -1;
}

static void remote_object_interface_init(gpointer iface, gpointer data)
{
    UserCreatableInterface *user_creatable = iface;

    user_creatable->complete = remote_object_complete;
    user_creatable->quiesce = remote_object_quiesce;
}

QOM_DEFINE_TYPE_WITH_CODE(RemoteObject, remote_object, TYPE_REMOTE_OBJECT_NAME, QOM_TYPE_OBJECT, 0, {
    const GInterfaceInfo info = { .interface_init = remote_object_interface_init };
    g_type_add_interface_static(type, QOM_TYPE_USER_CREATABLE, &info);
})

static void remote_object_finalize(GObject *gobject)
{
    RemoteObject *self = REMOTE_OBJECT(gobject);

    if (self->server) {
        if (link_server_state(self->server) != LINK_SERVER_ENDED) {
            live_links--;
        }
        device_set_unplug_blocker(self->dev, NULL);
        link_server_free(self->server);
        g_ptr_array_remove(objects, self);
    }
    G_OBJECT_CLASS(remote_object_parent_class)->finalize(gobject);
}
