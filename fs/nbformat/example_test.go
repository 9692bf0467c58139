package nbformat_test

import (
	"fmt"

	"github.com/jupyter-drive/jupyter-drive/fs/nbformat"
)

// An old notebook is opened, brought to the current version, and written.
func Example() {
	nb, err := nbformat.Parse([]byte(`{"nbformat": 3, "nbformat_minor": 0, "metadata": {},
		"worksheets": [{"cells": [{"cell_type": "heading", "level": 2, "source": "Results"}]}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := nb.Upgrade(nbformat.DerivedIDs()); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(nb.Validate())
	data, err := nb.Marshal()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(string(data))
	// Output:
	// <nil>
	// {
	//  "cells": [
	//   {
	//    "cell_type": "markdown",
	//    "id": "6fbd9985",
	//    "metadata": {},
	//    "source": [
	//     "## Results"
	//    ]
	//   }
	//  ],
	//  "metadata": {},
	//  "nbformat": 4,
	//  "nbformat_minor": 5
	// }
}
