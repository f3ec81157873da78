package commands

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"k0smotron.io/e2e/k0s-stand-in/internal/bundle"
	"k0smotron.io/e2e/k0s-stand-in/internal/config"
	"k0smotron.io/e2e/k0s-stand-in/internal/status"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

func statusGet(g *global) (*status.Status, error) { return status.Get(g.socket()) }

func statusCommand(g *global) *cobra.Command {
	var output string
	cmd := &cobra.Command{Use: "status", Short: "Get k0s instance status information", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		s, err := statusGet(g)
		if err != nil {
			return err
		}
		s.Output = output
		return printStatus(c.OutOrStdout(), s, output)
	}}
	g.add(cmd)
	cmd.Flags().StringVarP(&output, "out", "o", "", "sets type of output to json or yaml")
	components := &cobra.Command{Use: "components", Short: "Get k0s instance component status information", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		if _, err := statusGet(g); err != nil {
			return err
		}
		_, err := io.WriteString(c.OutOrStdout(), "{\"healthProbes\":{},\"events\":{}}\n")
		return err
	}}
	g.add(components)
	cmd.AddCommand(components)
	return cmd
}

func printStatus(w io.Writer, s *status.Status, output string) error {
	switch output {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "   ")
		return e.Encode(s)
	case "yaml":
		b, err := yaml.Marshal(s)
		if err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	case "":
		fmt.Fprintf(w, "Version: %s\nProcess ID: %d\nRole: %s\nWorkloads: %v\nSingleNode: %v\n", s.Version, s.Pid, s.Role, s.Workloads, s.SingleNode)
		if s.SysInit != "" {
			fmt.Fprintf(w, "Init System: %s\n", s.SysInit)
		}
		if s.StubFile != "" {
			fmt.Fprintf(w, "Service file: %s\n", s.StubFile)
		}
		if s.Role == "worker" {
			if s.WorkerToAPIConnectionStatus.Success {
				fmt.Fprintln(w, "Kube-api probing successful: true")
			} else {
				fmt.Fprintf(w, "Kube-api probing successful: false\nKube-api probing last error: %s\n", s.WorkerToAPIConnectionStatus.Message)
			}
		}
		return nil
	}
	return fmt.Errorf("invalid output format %q, expected json or yaml", output)
}

func versionCommand(v version.Version) *cobra.Command {
	var all, asJSON bool
	cmd := &cobra.Command{Use: "version", Short: "Print the k0s version", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		w := c.OutOrStdout()
		if !all {
			fmt.Fprintln(w, v)
			return nil
		}
		info := map[string]string{"k0s": v.String(), "build": "k0s stand-in: test equipment, not k0s", "kubernetes": v.Numbers(), "runtime": runtime.Version()}
		if asJSON {
			return json.NewEncoder(w).Encode(info)
		}
		for _, k := range []string{"k0s", "build", "kubernetes", "runtime"} {
			fmt.Fprintf(w, "%s: %s\n", k, info[k])
		}
		return nil
	}}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "use to print all k0s version info")
	cmd.Flags().BoolVarP(&asJSON, "json", "j", false, "use to print all k0s version info in json")
	return cmd
}

func sysinfoCommand() *cobra.Command {
	var controller, workerToo bool
	var dataDir string
	cmd := &cobra.Command{Use: "sysinfo", Short: "Display system information", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		host, _ := os.Hostname()
		cgroups := "version 2 (pass)"
		if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err != nil {
			cgroups = "version 1 (warning: cgroup v1 is deprecated)"
		}
		fmt.Fprintf(c.OutOrStdout(), "Machine ID: %q (from machine) (pass)\nTotal memory: (pass)\nOperating system: %s (pass)\n  Control Groups: %s\n", host, runtime.GOOS, cgroups)
		return nil
	}}
	cmd.Flags().BoolVar(&controller, "controller", true, "Include controller-specific sysinfo")
	cmd.Flags().BoolVar(&workerToo, "worker", true, "Include worker-specific sysinfo")
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "Data Directory for k0s")
	return cmd
}

func airgapCommand(v version.Version) *cobra.Command {
	cmd := &cobra.Command{Use: "airgap", Short: "Manage airgap setup", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	f := &controllerFlags{}
	var all bool
	list := &cobra.Command{Use: "list-images", Short: "List image names and version needed for air-gap install", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		_, effective, err := f.load(c, "/var/lib/k0s", v)
		if err != nil {
			return err
		}
		for _, i := range effective.List() {
			fmt.Fprintln(c.OutOrStdout(), i)
		}
		return nil
	}}
	list.Flags().StringVarP(&f.config, "config", "c", "/etc/k0s/k0s.yaml", "config file, use '-' to read the config from stdin")
	list.Flags().BoolVar(&all, "all", false, "include all images, even if they are not used in the current configuration")
	cmd.AddCommand(list)
	return cmd
}

func configCommand(g *global, v version.Version) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Configuration related sub-commands", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	var images bool
	create := &cobra.Command{Use: "create", Short: "Output the default k0s configuration yaml to stdout", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		e, err := (&config.ClusterConfig{}).Effective(g.data(), false, v)
		if err != nil {
			return err
		}
		if !images {
			e.Spec.Images = nil
		}
		b, err := yaml.Marshal(e)
		if err != nil {
			return err
		}
		_, err = c.OutOrStdout().Write(b)
		return err
	}}
	create.Flags().BoolVar(&images, "include-images", false, "include the default images in the output")
	g.add(create)
	f := &controllerFlags{}
	validate := &cobra.Command{Use: "validate", Short: "Validate k0s configuration", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		_, _, err := f.load(c, g.data(), v)
		return err
	}}
	validate.Flags().StringVarP(&f.config, "config", "c", "/etc/k0s/k0s.yaml", "config file, use '-' to read the config from stdin")
	g.add(validate)
	through := func(use, short string, args ...string) *cobra.Command {
		c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return kubectl(g, args) }}
		g.add(c)
		return c
	}
	cmd.AddCommand(create, validate, through("edit", "Launch the editor configured in your shell to edit k0s configuration", "-n", "kube-system", "edit", "clusterconfig", "k0s"),
		through("status", "Display dynamic configuration reconciliation status", "-n", "kube-system", "get", "event", "--field-selector", "involvedObject.name=k0s,involvedObject.kind=ClusterConfig"))
	return cmd
}

// apiCommand is how genuine k0s runs its join API; here it is part of the controller.
func apiCommand() *cobra.Command {
	return &cobra.Command{Use: "api", Short: "Run the controller API", Hidden: true, Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		return errors.New("the stand-in serves its join API from `k0s controller`")
	}}
}

func bundleCommand() *cobra.Command {
	var o bundle.Options
	cmd := &cobra.Command{Use: "make-bundle", Short: "stand-in only: put the parts and images together", Hidden: true, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		return bundle.Make(o, c.OutOrStdout())
	}}
	f := cmd.Flags()
	f.StringSliceVar(&o.Bins, "bin", nil, "directories with the built tools")
	f.StringVar(&o.Out, "out", "", "directory to write to")
	f.StringVar(&o.Version, "play", version.Default, "k0s version that the bundle plays")
	f.BoolVar(&o.NoImages, "no-images", false, "without images for workers")
	_ = cmd.MarkFlagRequired("bin")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}
