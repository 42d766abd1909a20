"""few_lines.py - few_lines.c from Python: ctypes and the installed libc2c, no package.

    python3 few_lines.py RECEIVER SHARER FUSER "Where does Kimiti live? Answer in one word."

c2c.h says what every function does; here its structs are written down once more, field by field.
Where the library is not in the system's folders, say LD_LIBRARY_PATH=PREFIX/lib.
"""
import ctypes
import sys
from ctypes import POINTER, byref, c_bool, c_char, c_char_p, c_int, c_int32, c_int64, c_size_t
from ctypes import c_uint64, c_void_p


class Error(ctypes.Structure):
    _fields_ = [("code", c_int), ("message", c_char * 1024)]


class Message(ctypes.Structure):
    _fields_ = [("role", c_char_p), ("content", c_char_p)]


class ChatOptions(ctypes.Structure):
    _fields_ = [("add_generation_prompt", c_bool), ("thinking", c_int), ("now", c_void_p)]


class Recipe(ctypes.Structure):
    _fields_ = [("path", c_char_p), ("text", c_char_p), ("seed", c_uint64), ("type", c_int)]


class Pair(ctypes.Structure):
    _fields_ = [("sharer", c_void_p), ("fuser", c_void_p)]


class Section(ctypes.Structure):
    _fields_ = [("length", c_int64), ("mask", c_int32)]


class Plan(ctypes.Structure):
    _fields_ = [
        ("ids", POINTER(c_int32)),
        ("sharer_ids", c_void_p),
        ("token_count", c_int64),
        ("sections", POINTER(Section)),
        ("section_count", c_size_t),
    ]


THINKING_OFF = 1
TokenCallback = ctypes.CFUNCTYPE(c_bool, c_void_p, c_int32, c_char_p, c_size_t)

library = ctypes.CDLL("libc2c.so.0")
handle, error_out = POINTER(c_void_p), POINTER(Error)
ARGUMENTS = {
    "engine_open": [handle, c_void_p],
    "model_open": [handle, c_void_p, c_char_p, c_void_p],
    "model_render": [c_void_p, POINTER(Message), c_size_t, POINTER(ChatOptions), POINTER(c_void_p),
                     POINTER(c_size_t)],
    "model_encode": [c_void_p, c_void_p, c_size_t, c_bool, POINTER(POINTER(c_int32)),
                     POINTER(c_size_t)],
    "fuser_open": [handle, c_void_p, c_void_p, c_char_p],
    "fuser_new": [handle, c_void_p, c_void_p, POINTER(Recipe)],
    "session_open": [handle, c_void_p, POINTER(Pair), c_size_t, c_void_p],
    "session_prefill": [c_void_p, POINTER(Plan)],
    "session_generate": [c_void_p, c_int64, TokenCallback, c_void_p, c_void_p],
}


def call(name, *arguments):
    """Calls a function that takes a c2c_error at its end; raises what it says."""
    function = getattr(library, "c2c_" + name)
    function.argtypes = ARGUMENTS[name] + [error_out]
    error = Error()
    if function(*arguments, byref(error)):
        raise RuntimeError(error.message.decode())


def opened(name, *arguments):
    """The handle that an open gives."""
    result = c_void_p()
    call(name, byref(result), *arguments)
    return result


def close(name, what):
    function = getattr(library, "c2c_" + name)
    function.argtypes, function.restype = [c_void_p], None
    function(what)


def print_text(user, token, text, length):
    # A callback must not raise: whatever is wrong with the output ends the answer.
    try:
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
        return True
    except OSError:
        return False


def main(receiver_folder, sharer_folder, fuser_path, question):
    # The two models, and the projectors between them.
    engine = opened("engine_open", None)
    receiver = opened("model_open", engine, receiver_folder.encode(), None)
    sharer = opened("model_open", engine, sharer_folder.encode(), None)
    if fuser_path.endswith(".json"):  # a recipe: a fuser that is not trained yet
        fuser = opened("fuser_new", receiver, sharer, byref(Recipe(fuser_path.encode(), None, 42)))
    else:
        fuser = opened("fuser_open", receiver, sharer, fuser_path.encode())

    # The prompt as ids of the receiver.
    message, options = Message(b"user", question.encode()), ChatOptions(True, THINKING_OFF)
    text, length, ids, count = c_void_p(), c_size_t(), POINTER(c_int32)(), c_size_t()
    call("model_render", receiver, byref(message), 1, byref(options), byref(text), byref(length))
    call("model_encode", receiver, text, length, False, byref(ids), byref(count))

    # All of it is fused with the first sharer, but for its last token, which starts the answer.
    sections = (Section * 2)(Section(count.value - 1, 1), Section(1, -1))
    plan = Plan(ids, None, count.value, sections, 2)
    session = opened("session_open", receiver, byref(Pair(sharer, fuser)), 1, None)
    call("session_prefill", session, byref(plan))
    call("session_generate", session, 64, TokenCallback(print_text), None, None)
    print()

    for name, what in (("free", ids), ("free", text), ("session_close", session),
                       ("fuser_close", fuser), ("model_close", sharer), ("model_close", receiver),
                       ("engine_close", engine)):
        close(name, what)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit("usage: few_lines.py RECEIVER SHARER FUSER QUESTION")
    try:
        main(*sys.argv[1:])
    except (RuntimeError, OSError) as problem:
        sys.exit(str(problem))
