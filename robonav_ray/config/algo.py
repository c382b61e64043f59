"""The learning rule: what is computed, not how fast or where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic.json_schema import JsonSchemaValue

from robonav_ray.config.base import Section

Width = Annotated[int, Field(ge=1, le=65_536)]


class AlgoConfig(Section):
    """The DQN family as composable switches of one agent, and its network."""

    also_read: ClassVar[Mapping[str, JsonSchemaValue]] = {
        "hidden_dims": {"type": "integer", "minimum": 1, "maximum": 65_536}
    }

    gamma: float = Field(default=0.99, gt=0.0, lt=1.0)
    """Discount per env step; also the gamma of the worlds' potential shaping."""
    n_step: int = Field(default=3, ge=1, le=64)
    """Rewards folded into one transition (Sutton 1988; in DQN: Hessel et al. 2018)."""
    double: bool = True
    """Double Q-learning (van Hasselt et al. 2016): the online net chooses, the target net values."""
    dueling: bool = True
    """Dueling heads (Wang et al. 2016): Q = V + A - mean(A), per atom or quantile with a distribution."""
    distribution: Literal["none", "c51", "qr", "iqn"] = "none"
    """What is learned of the return: its mean (``none``), probabilities of fixed values (``c51``, Bellemare et al.
    2017), values at fixed probabilities (``qr``, Dabney et al. 2018), or values at drawn probabilities (``iqn``, Dabney
    et al. 2018b)."""
    num_atoms: int = Field(default=51, ge=2, le=1024)
    """c51: values of the support."""
    v_min: float = -10.0
    """c51: least value of the support, in units of scaled rewards (see ``reward_scale``). On an environment that is not
    ours the default is what a reward of -1 in every step is worth, -reward_scale / (1 - gamma)."""
    v_max: float = 10.0
    """c51: greatest value of the support, in units of scaled rewards; on an environment that is not ours by default
    reward_scale / (1 - gamma)."""
    num_quantiles: int = Field(default=32, ge=1, le=1024)
    """qr: quantiles N, at the midpoints (i + 1/2) / N (the paper has 200)."""
    num_tau: int = Field(default=8, ge=1, le=1024)
    """iqn: fractions N drawn for the online network."""
    num_target_tau: int = Field(default=8, ge=1, le=1024)
    """iqn: fractions N' drawn for the target network."""
    num_acting_tau: int = Field(default=32, ge=1, le=1024)
    """iqn: fractions K whose mean is the Q value that is acted on; the midpoints (k + 1/2) / K."""
    tau_embedding_dim: int = Field(default=64, ge=1, le=4096)
    """iqn: cosines cos(pi i tau), i = 0 ... n - 1, of the embedding (Dabney et al. 2018b, eq. 4)."""
    noisy: bool = False
    """Noisy dense layers, factorised Gaussian (Fortunato et al. 2018): explores in place of epsilon, which stages then
    set to 0."""
    noisy_sigma: float = Field(default=0.5, gt=0.0, le=10.0)
    """noisy: sigma_0; a layer begins with sigma_0 / sqrt(inputs)."""
    munchausen: bool = False
    """Munchausen DQN (Vieillard et al. 2020): adds a scaled log-policy to the reward, with a soft maximum in place of
    the hard one."""
    munchausen_alpha: float = Field(default=0.9, ge=0.0, le=1.0)
    """munchausen: weight alpha of the log-policy; 0 is soft DQN."""
    munchausen_tau: float = Field(default=0.03, gt=0.0)
    """munchausen: temperature tau, in units of scaled rewards."""
    munchausen_clip: float = Field(default=-1.0, lt=0.0)
    """munchausen: l_0, below which tau * log pi(a|s) is cut."""
    network: str | None = None
    """A network of your own in place of ours: ``module:Name`` (a module in the current folder or installed), or the
    name of an entry point in the group ``robonav_ray.networks``. It gives Q values, in torch for the learner and in
    NumPy for acting."""
    num_layers: int | None = Field(default=None, ge=1, le=8)
    """Hidden layers; None takes the length of ``hidden_dims``."""
    hidden_dims: tuple[Width, ...] = Field(default=(256, 256), min_length=1, max_length=8)
    """Widths of the hidden layers; one number stands for ``num_layers`` (or 2) layers of that width."""
    initializer: Literal["he", "lecun"] = "he"
    """First weights: ``he`` is U(+-sqrt(6 / fan_in)) in front of a ReLU, with biases of 0 (He et al. 2015). ``lecun``
    is U(+-1 / sqrt(fan_in)) for all weights and biases, PyTorch's default and so that of CleanRL and
    Stable-Baselines3."""
    layer_norm: bool = False
    """Layer normalisation in front of every ReLU of the hidden layers (Ba et al. 2016)."""
    dropout: float = Field(default=0.0, ge=0.0, le=0.9)
    """Part of each hidden layer's outputs that is left out in the pass that gradients flow through (Srivastava et al.
    2014); targets and acting use all of them."""
    encoder: Literal["mlp", "lidar_conv", "deep_set", "attention"] = "mlp"
    """What meets the observation first: the hidden layers (``mlp``); for a lidar's ring, convolutions around the circle
    with the stacked scans as channels (``lidar_conv``); for a set of neighbours, layers that every neighbour passes
    together with the robot's own part, pooled by the mean and the greatest (``deep_set``, Zaheer et al. 2017) or by one
    head of attention (``attention``), whatever their order and number. The rest of the observation joins behind.
    ``lidar_conv`` needs a lidar that looks all around, the other two an observation that lists the neighbours."""
    set_dims: tuple[Width, ...] = Field(default=(64, 64), min_length=1, max_length=4)
    """deep_set, attention: widths of the layers that every neighbour passes."""
    conv_channels: tuple[Width, ...] = Field(default=(16, 32), min_length=1, max_length=4)
    """lidar_conv: channels of the convolutions."""
    conv_kernel: int = Field(default=5, ge=1, le=63)
    """lidar_conv: beams that a convolution sees at once; odd."""
    conv_stride: int = Field(default=2, ge=1, le=8)
    """lidar_conv: beams between two places of a convolution."""
    huber_delta: float = Field(default=1.0, gt=0.0)
    """Where the Huber loss turns from squared to linear; kappa of the quantile losses."""
    reward_scale: float = Field(default=0.2, gt=0.0)
    """Factor on every reward that is learned from (Q values near 1 suit Adam and the Huber loss); returns are reported
    unscaled."""

    @property
    def values_per_action(self) -> int:
        """Outputs of the head for each action (and for the state value): atoms, quantiles, or 1."""
        return {"none": 1, "c51": self.num_atoms, "qr": self.num_quantiles, "iqn": 1}[self.distribution]

    @property
    def looks_at_a_set(self) -> bool:
        """Whether the encoder takes the observation for a set of neighbours."""
        return self.encoder in ("deep_set", "attention")

    @property
    def pooled_dim(self) -> int:
        """deep_set, attention: values that the pooling leaves of all neighbours."""
        return self.set_dims[-1] * (2 if self.encoder == "deep_set" else 1)

    def ring_lengths(self, num_beams: int) -> tuple[int, ...]:
        """Return the places on the circle before the first and after each convolution of a ring of ``num_beams``."""
        lengths = [num_beams]
        for _ in self.conv_channels:
            lengths.append(-(-lengths[-1] // self.conv_stride))
        return tuple(lengths)

    @model_validator(mode="before")
    @classmethod
    def _one_width_for_all_layers(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        given: dict[str, Any] = dict(data)  # pyright: ignore[reportUnknownArgumentType]
        width, layers = given.get("hidden_dims"), given.get("num_layers")
        num_layers = layers if isinstance(layers, int) and 1 <= layers <= 8 else 2
        if width is None and "hidden_dims" not in given and isinstance(layers, int):
            width = 256
        if isinstance(width, int) and not isinstance(width, bool):
            given["hidden_dims"] = (width,) * num_layers
        return given

    @model_validator(mode="after")
    def _fits_together(self) -> AlgoConfig:
        if self.num_layers is not None and self.num_layers != len(self.hidden_dims):
            raise ValueError(
                f"num_layers ({self.num_layers}) does not agree with hidden_dims {list(self.hidden_dims)}, which are "
                f"{len(self.hidden_dims)} layers; leave num_layers out, or give hidden_dims one number"
            )
        if self.v_min >= self.v_max:
            raise ValueError(f"v_min ({self.v_min}) must be below v_max ({self.v_max})")
        if self.conv_kernel % 2 == 0:
            raise ValueError(f"conv_kernel ({self.conv_kernel}) must be odd, so that it has a middle")
        if self.munchausen and self.double:
            raise ValueError(
                "munchausen does not go with double: its target is a soft maximum, in which nothing is chosen; set "
                "double=false, or munchausen=false"
            )
        if self.munchausen and self.distribution == "c51":
            raise ValueError(
                "munchausen does not go with distribution=c51: its log-policy would move the support; take "
                "distribution=none, qr or iqn"
            )
        return self

    @model_validator(mode="after")
    def _own_network(self) -> AlgoConfig:
        if self.network is None:
            return self
        for key in ("distribution", "noisy", "dropout"):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(
                    f"{key} ({getattr(self, key)}) does not go with network, which gives plain Q values; leave it out"
                )
        for key in ("num_layers", "hidden_dims", "initializer", "layer_norm", "encoder", "dueling"):
            value, default = getattr(self, key), type(self).model_fields[key].default
            if value != default:
                raise ValueError(
                    f"{key} ({value}) would be ignored: network is built by your own code; leave it out (at {default})"
                )
        return self

    @model_validator(mode="after")
    def _nothing_ignored(self) -> AlgoConfig:
        for used, by, keys in (
            (self.distribution == "c51", "distribution=c51", ("num_atoms", "v_min", "v_max")),
            (self.distribution == "qr", "distribution=qr", ("num_quantiles",)),
            (
                self.distribution == "iqn",
                "distribution=iqn",
                ("num_tau", "num_target_tau", "num_acting_tau", "tau_embedding_dim"),
            ),
            (
                self.distribution != "c51",
                "a distribution other than c51, whose loss has no Huber part",
                ("huber_delta",),
            ),
            (self.noisy, "noisy=true", ("noisy_sigma",)),
            (self.munchausen, "munchausen=true", ("munchausen_alpha", "munchausen_tau", "munchausen_clip")),
            (self.encoder == "lidar_conv", "encoder=lidar_conv", ("conv_channels", "conv_kernel", "conv_stride")),
            (self.looks_at_a_set, "encoder=deep_set and encoder=attention", ("set_dims",)),
        ):
            for key in () if used else keys:
                value, default = getattr(self, key), type(self).model_fields[key].default
                if value != default:
                    raise ValueError(
                        f"{key} ({value}) would be ignored: it belongs to {by}; leave it out (or at its default, "
                        f"{default})"
                    )
        return self
