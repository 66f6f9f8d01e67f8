/* Settings of the group Network: rows of the table in settings_table.c, which says what SETTING is. */
SETTING(.name = "arch", .type = AM_SET_CHOICE, .offset = FIELD(arch), .fallback = "mlp",
        .choices = arch_names,
        .help =
            "mlp: a = h(W a + b) layer by layer; resnet: residual blocks a = a + h(W a + b) of equal width, "
            "after a linear input map when the data have another width, before a linear output layer")
SETTING(.name = "hidden", .type = AM_SET_WIDTHS, .offset = FIELD(hidden), .fallback = "100,100", .min = 1,
        .max = 2147483648.0,
        .help =
            "widths of the hidden layers, first to last, e.g. 1000,1000; 16x50: sixteen layers of 50; for "
            "resnet the blocks, all of one width; none: a linear model")
SETTING(.name = "activation", .type = AM_SET_CHOICE, .offset = FIELD(activation), .fallback = "relu",
        .choices = activation_names, .symbol = "h", .help = "activation of the hidden layers")
SETTING(.name = "loss", .type = AM_SET_CHOICE, .offset = FIELD(loss), .fallback = "auto",
        .choices = loss_names, .symbol = "R",
        .help = "loss at the output; auto: cross-entropy for classes, squared for values")
SETTING(.name = "init", .type = AM_SET_CHOICE, .offset = FIELD(init), .fallback = "he", .choices = init_names,
        .help = "initial weights; paper: normal with standard deviation --init-scale; he: normal with "
                "variance 2 / inputs of the layer; residual blocks divide the deviation by their number")
SETTING(.name = "init-scale", .type = AM_SET_REAL, .offset = FIELD(init_scale), .fallback = "0.1", .min = 0,
        .max = NO_LIMIT, .min_open = 1, .help = "standard deviation of the initial weights with --init paper")
SETTING(.name = "bias-start", .type = AM_SET_REAL, .offset = FIELD(bias_start), .fallback = "0", .min = -1e6,
        .max = 1e6, .help = "initial biases")
