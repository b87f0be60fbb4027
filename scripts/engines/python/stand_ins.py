"""Empty shells for packages that need a GPU or are huge. Whatever is asked of one exists, can be
called, subclassed, subscripted and used as a decorator, and does nothing. LMDeploy's HTTP server, its
AsyncEngine and its connections between engines import them, and compute nothing with them."""
import importlib.abc
import importlib.machinery
import multiprocessing
import sys
import types

PACKAGES = frozenset(
    "torch torchvision triton xgrammar ray accelerate peft tilelang fla cv2 timm flash_attn deep_gemm tvm_ffi rdkit".split()
)
# What code asks before it decides: no GPU, nothing distributed, versions that are new enough.
FACTS = {
    "torch.__version__": "2.12.0",
    "triton.__version__": "3.7.0",
    "torch.version.cuda": None,
    "torch.version.hip": None,
    "torch.cuda.is_available": lambda: False,
    "torch.cuda.device_count": lambda: 0,
    "torch.distributed.is_available": lambda: False,
    "torch.distributed.is_initialized": lambda: False,
    "torch.is_tensor": lambda _: False,
}


def decorated(arguments):
    """The function or class that is decorated, if the call looks like a decorator's."""
    if len(arguments) == 1 and isinstance(arguments[0], (types.FunctionType, type)):
        return arguments[0]
    return None


class EmptyType(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return empty(name)

    def __getitem__(cls, _):
        return cls

    def __iter__(cls):
        return iter(())

    def __len__(cls):
        return 0


class Empty(metaclass=EmptyType):
    def __new__(cls, *arguments, **_):
        target = decorated(arguments) if Empty in cls.__bases__ else None
        return object.__new__(cls) if target is None else target

    def __init__(self, *_, **__):
        pass

    def __call__(self, *arguments, **_):
        target = decorated(arguments)
        return self if target is None else target

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Empty()

    def __getitem__(self, _):
        return self

    def __iter__(self):
        return iter(())

    def __bool__(self):
        return False

    def __int__(self):
        return 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


def empty(name):
    return EmptyType(name, (Empty,), {"__module__": __name__})


class EmptyModule(types.ModuleType):
    def __getattr__(self, name):
        fact = f"{self.__name__}.{name}"
        if fact in FACTS:
            return FACTS[fact]
        if name == "__version__":
            return "0.0.0"
        if name.startswith("__"):
            raise AttributeError(name)
        value = empty(name)
        setattr(self, name, value)
        return value


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] not in PACKAGES:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec):
        module = EmptyModule(spec.name)
        if spec.name == "torch.multiprocessing":
            public = {k: v for k, v in vars(multiprocessing).items() if not k.startswith("__")}
            vars(module).update(public)
        return module

    def exec_module(self, module):
        module.__path__ = []


def install():
    sys.meta_path.insert(0, Finder())
